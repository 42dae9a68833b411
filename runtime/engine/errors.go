package engine

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// StartError is returned when the container is as it should be, but its program cannot run. Code is what a shell would
// return: 127 for a program (or working directory) that does not exist, 126 for one that may not be executed.
type StartError struct {
	Code    int
	Message string
}

// Error returns Docker's words for it.
func (e *StartError) Error() string { return e.Message }

// The errors of libcontainer's init cross a pipe as text. What recognises them is compiled when there is one: the init, too,
// pays for what the program initialises.
var (
	execFailed  = lazy(`exec: ".*": (executable file not found in \$PATH|.*no such file or directory|permission denied|is a directory)`)
	chdirFailed = lazy(`chdir to cwd \((".*")\) set in config.json failed: (.*)`)
	limitFailed = lazy(`failed to write "([^"]*)": write /sys/fs/cgroup/\S*/([a-z_.]+): (.*)`)
	sysctlGone  = lazy(`open sysctl (\S+) file: .*: no such file or directory`)
	sysctlValue = lazy(`failed to write sysctl (\S+) = (".*"): .*: (.*)`)
	mkdirFailed = lazy(`error during container init: (mkdir .*: not a directory)`)
)

func lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// startError gives an error of libcontainer's Start its meaning.
func startError(err error) error {
	text := err.Error()
	if m := execFailed().FindStringSubmatch(text); m != nil {
		return &StartError{Code: startCode(m[1]), Message: m[0]}
	}
	if m := chdirFailed().FindStringSubmatch(text); m != nil {
		return &StartError{Code: startCode(m[2]), Message: fmt.Sprintf("chdir to working directory %s: %s", m[1], m[2])}
	}
	if m := mkdirFailed().FindStringSubmatch(text); m != nil {
		return &StartError{Code: startCode(m[1]), Message: "make working directory: " + m[1]}
	}
	if m := limitFailed().FindStringSubmatch(text); m != nil {
		return fmt.Errorf("start container: the kernel refuses to set %s to %q: %s", m[2], m[1], m[3])
	}
	if m := sysctlGone().FindStringSubmatch(text); m != nil {
		return fmt.Errorf("start container: no sysctl %q on this host", m[1])
	}
	if m := sysctlValue().FindStringSubmatch(text); m != nil {
		return fmt.Errorf("start container: the kernel refuses to set sysctl %s to %s: %s", m[1], m[2], m[3])
	}
	if strings.Contains(text, "unable to spawn stage-2: Cannot allocate memory") {
		// fork(2) in a PID namespace whose first process has ended.
		return errors.New("start container: the PID namespace to join has ended")
	}
	for _, known := range []string{"unable to start container process: ", "error during container init: "} {
		text = strings.TrimPrefix(text, known)
	}
	return errors.New("start container: " + text)
}

func startCode(reason string) int {
	if strings.Contains(reason, "permission denied") || strings.Contains(reason, "is a directory") {
		return 126
	}
	return 127
}
