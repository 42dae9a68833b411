// Package inspect shows containers, networks and images as the JSON of Docker's API, version 29, by Docker's own types
// (github.com/moby/moby/api), so that templates and scripts written for Docker read it.
//
// Its functions are pure: they take what others have read. It owns nothing.
package inspect
