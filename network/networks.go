// Package network gives containers their networks.
package network

// Networks are the networks of one installation.
type Networks struct{}
