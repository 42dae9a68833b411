package testhost

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// outsideDir holds the network namespaces of neighbours, apart from /run/netns, which shows the host's own.
const outsideDir = "/run/outside"

// Outside is a neighbour of a host: a network namespace at the other end of a veth.
type Outside struct {
	Name string
	Path string     // of the network namespace
	Host netip.Addr // the host's address on the veth, the neighbour's default gateway
	Addr netip.Addr // the neighbour's
}

// Outside makes a neighbour. The veth is called name in the host and has the first address of the prefix there; it is eth0 in
// the neighbour and has the second one. The neighbour goes with the host, if nobody closes it before.
func (h *Host) Outside(name string, prefix netip.Prefix) (*Outside, error) {
	local := prefix.Masked().Addr().Next()
	o := &Outside{Name: name, Path: filepath.Join(outsideDir, name), Host: local, Addr: local.Next()}
	if err := os.MkdirAll(outsideDir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(o.Path, nil, 0o444); err != nil {
		return nil, err
	}
	length := fmt.Sprintf("/%d", prefix.Bits())
	for _, argv := range [][]string{
		{"unshare", "--net=" + o.Path, "true"},
		{"ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", o.Path},
		{"ip", "address", "add", o.Host.String() + length, "dev", name, "nodad"},
		{"ip", "link", "set", name, "up"},
		o.argv("ip", "link", "set", "lo", "up"),
		o.argv("ip", "address", "add", o.Addr.String()+length, "dev", "eth0", "nodad"),
		o.argv("ip", "link", "set", "eth0", "up"),
		o.argv("ip", "route", "add", "default", "via", o.Host.String()),
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make neighbour %q: %s: %w: %s", name, strings.Join(argv, " "), err, out)
		}
	}
	return o, nil
}

// Command returns a command that runs in the neighbour's network namespace, with the host's files.
func (o *Outside) Command(name string, args ...string) *exec.Cmd {
	argv := o.argv(append([]string{name}, args...)...)
	return exec.Command(argv[0], argv[1:]...)
}

func (o *Outside) argv(argv ...string) []string {
	return append([]string{"nsenter", "--net=" + o.Path}, argv...)
}

// Close takes the neighbour away before its host ends.
func (o *Outside) Close() error {
	for _, argv := range [][]string{{"ip", "link", "delete", o.Name}, {"umount", o.Path}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("remove neighbour %q: %s: %w: %s", o.Name, strings.Join(argv, " "), err, out)
		}
	}
	return os.Remove(o.Path)
}
