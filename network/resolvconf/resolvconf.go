// Package resolvconf reads and writes the text of resolv.conf(5) and hosts(5). It is pure: it owns no file and reads none.
package resolvconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MaxSize is how much of a file Parse looks at, in bytes. The C library reads no more servers than three and a search list
// of 256 characters at most (older ones); whatever lies behind this is no resolver configuration.
const MaxSize = 64 << 10

// Internal is the address that containers of user-defined networks find their resolver at.
var Internal = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// stub is the address of systemd-resolved's server, which listens on the host's lo only.
var stub = netip.AddrFrom4([4]byte{127, 0, 0, 53})

// Config is what a resolv.conf says.
type Config struct {
	Servers []netip.Addr
	Search  []string
	Options []string
	Other   []string // lines of other directives: sortlist, ...
}

// Parse reads a resolv.conf. What is malformed is left out, as the C library does; the last one of several search or domain
// lines holds.
func Parse(text []byte) Config {
	var c Config
	for line := range strings.Lines(string(text[:min(len(text), MaxSize)])) {
		line = printable(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil {
				c.Servers = append(c.Servers, a.Unmap())
			}
		case "domain":
			c.Search = f[1:2]
		case "search":
			c.Search = f[1:]
		case "options":
			c.Options = append(c.Options, f[1:]...)
		default:
			c.Other = append(c.Other, strings.Join(f, " "))
		}
	}
	return c
}

// printable removes what would let one line become two, or hide what it says.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// UsesStub tells whether the file names systemd-resolved's server and no other. That one cannot be reached from another
// network namespace; the servers behind it are in /run/systemd/resolve/resolv.conf.
func (c Config) UsesStub() bool { return len(c.Servers) == 1 && c.Servers[0] == stub }

// Ndots returns the last valid option ndots, and whether there is one.
func (c Config) Ndots() (n int, ok bool) {
	for _, o := range c.Options {
		if v, found := strings.CutPrefix(o, "ndots:"); found {
			if i, err := strconv.Atoi(v); err == nil && i >= 0 {
				n, ok = i, true
			}
		}
	}
	return n, ok
}

// ValidDomain tells whether a text may stand in a search list: letters, digits and dashes, with dots between.
func ValidDomain(s string) bool {
	s = strings.TrimSuffix(s, ".")
	letter := false
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			alphabetic := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !alphabetic && (c < '0' || c > '9') && c != '-' {
				return false
			}
			letter = letter || alphabetic
		}
	}
	return letter && len(s) <= 253
}

// Source is where a container's resolv.conf comes from: the host's file, and what the user of the container asked for in
// its place.
type Source struct {
	Path    string // of the host's file, for the comment
	Host    Config
	Servers []netip.Addr
	Search  []string // "." alone: none
	Options []string
}

// merged returns the host's configuration with the user's wishes in place.
func (s Source) merged() Config {
	c := s.Host
	if len(s.Servers) > 0 {
		c.Servers = s.Servers
	}
	if len(s.Search) > 0 {
		c.Search = s.Search
	}
	if len(c.Search) == 1 && c.Search[0] == "." {
		c.Search = nil
	}
	if len(s.Options) > 0 {
		c.Options = s.Options
	}
	return c
}

// NdotsSet tells whether the host or the user chose ndots.
func (s Source) NdotsSet() bool {
	_, ok := s.merged().Ndots()
	return ok
}

// Direct returns the file for a container that asks the servers itself: those of the host that can be reached from another
// network namespace, or the user's. Where none is left the file says so; no public server is ever put in its place.
func (s Source) Direct(ipv6 bool) []byte {
	c := s.merged()
	if len(s.Servers) == 0 {
		c.Servers = slices.DeleteFunc(slices.Clone(c.Servers), func(a netip.Addr) bool {
			return a.IsLoopback() || a.IsUnspecified() || a.Zone() != "" || a.Is6() && !ipv6
		})
	}
	notes := []string{"Based on host file: '" + s.Path + "'"}
	if len(c.Servers) == 0 {
		notes = append(notes, "NO EXTERNAL NAMESERVERS DEFINED: the host has none that a container can reach.")
	}
	return c.render(append(notes, s.overrides())...)
}

// Copy returns the file for a container that shares the host's network: the host's, but for what the user asks.
func (s Source) Copy() []byte {
	return s.merged().render("Based on host file: '"+s.Path+"'", s.overrides())
}

// Resolver returns the file for a container that asks the resolver of its monitor.
func (s Source) Resolver() []byte {
	c := s.merged()
	ext := make([]string, len(c.Servers))
	for i, a := range c.Servers {
		if ext[i] = a.String(); len(s.Servers) == 0 {
			ext[i] = "host(" + ext[i] + ")"
		}
	}
	from := "host"
	if _, ok := c.Ndots(); !ok {
		from = "internal"
		c.Options = append(slices.DeleteFunc(slices.Clone(c.Options), func(o string) bool {
			return strings.HasPrefix(o, "ndots:")
		}), "ndots:0")
	} else if len(s.Options) > 0 {
		from = "override"
	}
	notes := []string{"Based on host file: '" + s.Path + "' (internal resolver)"}
	if len(ext) == 0 {
		notes = append(notes, "NO EXTERNAL NAMESERVERS DEFINED")
	} else {
		notes = append(notes, "ExtServers: ["+strings.Join(ext, " ")+"]")
	}
	c.Servers = []netip.Addr{Internal}
	return c.render(append(notes, s.overrides(), "Option ndots from: "+from)...)
}

// overrides returns the note that says what the user asked for.
func (s Source) overrides() string {
	var words []string
	if len(s.Servers) > 0 {
		words = append(words, "nameservers")
	}
	if len(s.Search) > 0 {
		words = append(words, "search")
	}
	if len(s.Options) > 0 {
		words = append(words, "options")
	}
	return "Overrides: [" + strings.Join(words, " ") + "]"
}

// render writes the file.
func (c Config) render(notes ...string) []byte {
	var b strings.Builder
	b.WriteString("# Generated by ctr at the start of the container.\n\n")
	for _, a := range c.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(c.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", printable(strings.Join(c.Search, " ")))
	}
	if len(c.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", printable(strings.Join(c.Options, " ")))
	}
	for _, line := range c.Other {
		fmt.Fprintf(&b, "%s\n", line)
	}
	b.WriteString("\n")
	for _, n := range notes {
		fmt.Fprintf(&b, "# %s\n", n)
	}
	return []byte(b.String())
}
