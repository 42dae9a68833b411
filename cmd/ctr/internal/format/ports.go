package format

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	api "github.com/moby/moby/api/types/container"
)

// portRange is a run of ports that are shown as one.
type portRange struct {
	ip          string // of the host; empty: not published
	first, last uint16
	proto       string
}

func (r portRange) String() string {
	text := strconv.Itoa(int(r.first))
	if r.last != r.first {
		text += "-" + strconv.Itoa(int(r.last))
	}
	if r.ip != "" {
		text = net.JoinHostPort(r.ip, text) + "->" + text
	}
	return text + "/" + r.proto
}

// ports is the PORTS column. Ports that are published under their own number, or only exposed, are joined to ranges;
// those under another number stand at the end, one by one.
func ports(list []api.PortSummary) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b api.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), a.IP.Compare(b.IP), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type))
	})
	type key struct{ ip, proto string }
	var order []key
	var done, moved []string
	ranges := map[key]*portRange{}
	for _, p := range list {
		k := key{proto: p.Type}
		if p.IP.IsValid() {
			k.ip = p.IP.String()
			if p.PublicPort != p.PrivatePort {
				host := net.JoinHostPort(k.ip, strconv.Itoa(int(p.PublicPort)))
				moved = append(moved, fmt.Sprintf("%s->%d/%s", host, p.PrivatePort, p.Type))
				continue
			}
		}
		r := ranges[k]
		switch {
		case r == nil:
			order = append(order, k)
		case r.last+1 == p.PrivatePort:
			r.last = p.PrivatePort
			continue
		default:
			done = append(done, r.String())
		}
		ranges[k] = &portRange{ip: k.ip, first: p.PrivatePort, last: p.PrivatePort, proto: p.Type}
	}
	for _, k := range order {
		done = append(done, ranges[k].String())
	}
	return strings.Join(append(done, moved...), ", ")
}
