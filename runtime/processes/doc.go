// Package processes shows processes as ps(1) does, from /proc alone (proc(5)): neither the host nor the container needs a ps.
//
// It owns nothing. PIDs are those of the caller's PID namespace, and users are named as on the host, as `docker top` does.
package processes
