// Package logs writes and reads what containers print, in the format of Docker's json-file driver: one JSON object a line,
//
//	{"log":"hello\n","stream":"stdout","time":"2026-11-23T15:04:05.000000001Z"}
//
// so that whatever collects Docker's logs reads ours.
//
// It owns the file that it is given the path of, and, when that is rotated, the files PATH.1 (the newest of the old ones) to
// PATH.<n-1>. There is one writer for a path at a time; readers take no lock and never write.
//
// The small keeper of a running container links this package: it imports nothing heavier than x/sys.
package logs
