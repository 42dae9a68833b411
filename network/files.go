package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctr/network/resolvconf"
)

// The files of a container that Setup writes in SandboxSpec.Dir.
const (
	ResolvConfFile = "resolv.conf"
	HostsFile      = "hosts"
	HostnameFile   = "hostname"
	// checksumFile is Docker's name for the checksum of resolv.conf as it was last written.
	checksumFile = "resolv.conf.hash"
)

// behindStub is where systemd-resolved writes the servers that its own one asks (systemd-resolved.service(8)).
const behindStub = "/run/systemd/resolve/resolv.conf"

// resolvConf is the path of the host's resolv.conf.
func (n *Networks) resolvConf() string { return filepath.Join(n.config.Etc, ResolvConfFile) }

// refuseItself takes the address of a container's own resolver from the servers that it is to ask: it would ask itself.
func (r *ResolverSpec) refuseItself() (warnings []string) {
	if !slices.Contains(r.Servers, resolvconf.Internal) {
		return nil
	}
	r.Servers = slices.DeleteFunc(slices.Clone(r.Servers), func(a netip.Addr) bool { return a == resolvconf.Internal })
	return []string{fmt.Sprintf("--dns %s is ignored: it is where the container finds its own resolver", resolvconf.Internal)}
}

// source returns what the container's resolv.conf is made of, for a container with a resolver.
func (b *building) source() resolvconf.Source {
	return sourceOf(b.resolver(), b.resolvConf())
}

// sourceOf returns what a container's resolv.conf is made of. A file that cannot be read is as good as an empty one.
func sourceOf(r ResolverSpec, path string) resolvconf.Source {
	text, _ := readBounded(path)
	return resolvconf.Source{Path: path, Host: resolvconf.Parse(text), Servers: r.Servers, Search: r.Search, Options: r.Options}
}

// directSource is sourceOf for a container that asks the host's servers itself.
func (n *Networks) directSource(r ResolverSpec) resolvconf.Source {
	src := sourceOf(r, n.resolvConf())
	if src.Host.UsesStub() {
		if behind := sourceOf(r, behindStub); len(behind.Host.Servers) > 0 {
			return behind
		}
	}
	return src
}

// writeFiles writes the container's resolv.conf, hosts and hostname, and notes what it wrote.
func (b *building) writeFiles() error {
	conf, hosts, err := b.files()
	if err != nil {
		return err
	}
	b.Record.Written = map[string]string{HostsFile: checksum(hosts)}
	return b.Record.Spec.write(conf, hosts)
}

// rewriteFiles writes resolv.conf and hosts of a container that runs anew, but not what a user has changed.
func (b *building) rewriteFiles() error {
	conf, hosts, err := b.files()
	if err != nil {
		return err
	}
	if err := b.Record.Spec.writeResolvConf(conf); err != nil {
		return err
	}
	path := filepath.Join(b.Record.Spec.Dir, HostsFile)
	have, err := readBounded(path)
	if err != nil || checksum(have) != b.Record.Written[HostsFile] {
		return err
	}
	b.Record.Written[HostsFile] = checksum(hosts)
	return overwrite(path, hosts)
}

// writeResolvConf writes resolv.conf, but not over what a user made of it, now or before the container was started again. An
// empty file is nobody's. Without a checksum beside it, whoever was to write it was killed.
func (s SandboxSpec) writeResolvConf(text []byte) error {
	path, sumPath := filepath.Join(s.Dir, ResolvConfFile), filepath.Join(s.Dir, checksumFile)
	have, err1 := readBounded(path)
	last, err2 := readBounded(sumPath)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if len(have) > 0 && len(last) > 0 && (checksum(have) != string(last) || string(have) == string(text)) {
		return nil
	}
	if err := os.Remove(sumPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := overwrite(path, text); err != nil {
		return err
	}
	return overwrite(sumPath, []byte(checksum(text)))
}

// checksum tells texts apart.
func checksum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// files returns the container's resolv.conf and hosts.
func (b *building) files() (resolvConf, hosts []byte, err error) {
	spec := b.Record.Spec
	ipv6 := false
	var own []resolvconf.Host
	var gateway netip.Addr
	for _, a := range b.all {
		ipv6 = ipv6 || a.network.IPv6
		for _, p := range []netip.Prefix{a.Endpoint.IPv4, a.Endpoint.IPv6} {
			if p.IsValid() {
				own = append(own, resolvconf.Host{Address: p.Addr(), Names: spec.hostNames()})
			}
		}
	}
	for _, a := range elect(b.all) {
		if a.network.Driver == "bridge" && !gateway.IsValid() {
			if own := a.network.bridgeAddrs(); len(own) > 0 {
				gateway = own[0].Addr()
			}
		}
	}
	extra, err := spec.extraHosts(gateway)
	if err != nil {
		return nil, nil, err
	}
	conf := b.source().Resolver
	if !b.asks {
		src := b.directSource(spec.Resolver)
		conf = func() []byte { return src.Direct(ipv6) }
	}
	// lo has ::1 in every container, if the kernel has IPv6 at all.
	return conf(), resolvconf.Hosts(haveIPv6(), extra, own), nil
}

// HostFiles writes resolv.conf, hosts and hostname of a container that uses the host's network: the host's own, as far as
// the container's user asks for nothing else.
func (n *Networks) HostFiles(s SandboxSpec) error {
	if err := s.validate(); err != nil {
		return err
	}
	conf, err := readBounded(n.resolvConf())
	if err != nil {
		return fmt.Errorf("copy resolv.conf: %w", err)
	}
	if r := s.Resolver; len(r.Servers)+len(r.Search)+len(r.Options) > 0 {
		conf = sourceOf(r, n.resolvConf()).Copy()
	}
	hosts, err := readBounded(filepath.Join(n.config.Etc, HostsFile))
	if err != nil {
		return fmt.Errorf("copy hosts: %w", err)
	}
	if len(s.ExtraHosts) > 0 {
		extra, err := s.extraHosts(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		if err != nil {
			return err
		}
		hosts = resolvconf.Hosts(haveIPv6(), extra, nil)
	}
	return s.write(conf, hosts)
}

// hostNames returns the names on the container's own lines of its hosts file: the whole one, whichever option said its domain, and
// the first word of it.
func (s SandboxSpec) hostNames() []string {
	full := s.hostname()
	if s.Domainname != "" {
		full += "." + s.Domainname
	}
	if short, _, ok := strings.Cut(full, "."); ok && short != "" {
		return []string{full, short}
	}
	return []string{full}
}

// extraHosts returns the lines of --add-host; gateway is what host-gateway stands for.
func (s SandboxSpec) extraHosts(gateway netip.Addr) ([]resolvconf.Host, error) {
	var all []resolvconf.Host
	for _, h := range s.ExtraHosts {
		a := h.IP
		if !a.IsValid() {
			a = gateway
		}
		if !a.IsValid() {
			return nil, fmt.Errorf("%w: host %s: host-gateway needs a bridge network with an address on the host", ErrInvalid, h.Name)
		}
		all = append(all, resolvconf.Host{Address: a, Names: []string{h.Name}})
	}
	return all, nil
}

// write writes the three files.
func (s SandboxSpec) write(conf, hosts []byte) error {
	if err := s.writeResolvConf(conf); err != nil {
		return err
	}
	if err := overwrite(filepath.Join(s.Dir, HostsFile), hosts); err != nil {
		return err
	}
	return overwrite(filepath.Join(s.Dir, HostnameFile), []byte(s.hostname()+"\n"))
}

// overwrite writes a file in place: another one under the same name would not be the one that is mounted in a container. It is
// cut last, so that it is never empty for those who read it meanwhile.
func overwrite(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Whatever the umask is, every user of the container reads these.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// readBounded reads a small file of the host, as much of it as resolver configuration may be long. A file that is missing is
// empty.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, resolvconf.MaxSize))
}
