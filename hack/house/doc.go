// Package house holds the house rules as tests: what a package says of itself, who imports whom, how long a file and a function
// are. It owns nothing.
package house
