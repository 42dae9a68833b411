package engine

import (
	"slices"
	"strings"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what the program gets: Docker's defaults, replaced and followed by env, later entries winning. HOME is added
// by libcontainer, from the container's /etc/passwd, when neither the user nor env gives it.
func environment(env []string, hostname, home string, tty bool) []string {
	out := []string{defaultPath}
	if hostname != "" {
		out = append(out, "HOSTNAME="+hostname)
	}
	if tty {
		out = append(out, "TERM=xterm")
	}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		i := slices.IndexFunc(out, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if i >= 0 {
			out[i] = e
		} else {
			out = append(out, e)
		}
	}
	if home != "" && !slices.ContainsFunc(out, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		out = append(out, "HOME="+home)
	}
	return out
}
