// Package options parses what users write after the flags of Docker's command line: ports, mounts, networks, limits.
//
// Its functions are pure, apart from those that are told a file to read. Errors are worded as Docker words them, since people
// look them up. It owns nothing.
package options

import (
	"regexp"
	"sync"
)

// lazy compiles a regular expression when it is first needed: most commands need none, and the program starts often.
func lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
