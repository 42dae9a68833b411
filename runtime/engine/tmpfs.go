package engine

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// tmpfsFlags are the options of --tmpfs that are flags of mount(2).
var tmpfsFlags = map[string]struct {
	flag  int
	clear bool
}{
	"ro": {unix.MS_RDONLY, false}, "rw": {unix.MS_RDONLY, true},
	"noexec": {unix.MS_NOEXEC, false}, "exec": {unix.MS_NOEXEC, true},
	"nosuid": {unix.MS_NOSUID, false}, "suid": {unix.MS_NOSUID, true},
	"nodev": {unix.MS_NODEV, false}, "dev": {unix.MS_NODEV, true},
	"sync": {unix.MS_SYNCHRONOUS, false}, "async": {unix.MS_SYNCHRONOUS, true},
	"dirsync": {unix.MS_DIRSYNC, false},
	"noatime": {unix.MS_NOATIME, false}, "atime": {unix.MS_NOATIME, true},
	"nodiratime": {unix.MS_NODIRATIME, false}, "diratime": {unix.MS_NODIRATIME, true},
	"relatime": {unix.MS_RELATIME, false}, "norelatime": {unix.MS_RELATIME, true},
	"strictatime": {unix.MS_STRICTATIME, false}, "nostrictatime": {unix.MS_STRICTATIME, true},
}

// tmpfsData are the options that tmpfs itself takes (tmpfs(5)).
var tmpfsData = map[string]bool{
	"size": true, "mode": true, "uid": true, "gid": true, "nr_inodes": true, "nr_blocks": true, "mpol": true, "huge": true,
}

// tmpfsMount is one --tmpfs: noexec, nosuid and nodev unless the options say otherwise, as in Docker.
func tmpfsMount(target string, options []string) (*configs.Mount, error) {
	m := &configs.Mount{Device: "tmpfs", Source: "tmpfs", Destination: target, Flags: noneMayPass}
	var data []string
	for _, o := range options {
		name, value, hasValue := strings.Cut(o, "=")
		flag, isFlag := tmpfsFlags[o]
		switch {
		case o == "" || o == "defaults":
		case isFlag && flag.clear:
			m.Flags &^= flag.flag
		case isFlag:
			m.Flags |= flag.flag
		case tmpfsData[name] && hasValue && value != "" && !strings.ContainsAny(value, ", "):
			data = append(data, o)
		default:
			return nil, fmt.Errorf("invalid tmpfs option %q", o)
		}
	}
	m.Data = strings.Join(data, ",")
	return m, nil
}
