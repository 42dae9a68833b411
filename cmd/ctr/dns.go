package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/net/dns/dnsmessage"

	"ctr/network/dns"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

func (a *app) dnsCommand() *cli.Command {
	return &cli.Command{
		Name: "dns", Usage: "Ask what a container would be told about a name, or follow what one asks", ArgsUsage: "NAME|ADDRESS",
		Description: "ctr dns web\nctr dns --network mynet --type AAAA web\nctr dns 172.18.0.2\nctr dns --follow web   # CONTAINER",
		Flags: []cli.Flag{
			listFlag("network", "Ask as a container on this network (default: on all that have names)", "net"),
			textFlag("type", "Type of the records (A, AAAA, PTR, MX, TXT, SRV, ...; default: A and AAAA, or PTR for an address)", "t"),
			boolFlag("follow", "Show what the container of this name asks, and what it is told, until it ends", "f"),
			textFlag("format", `Format output of --follow ("json", or a Go template)`),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			if c.Bool("follow") {
				print, err := parseFollow(c)
				if err != nil {
					return err
				}
				in, err := a.open()
				if err != nil {
					return err
				}
				return runFollow(c.Context, in, c.Args().First(), print, a.ui)
			}
			if c.IsSet("format") {
				return errors.New("--format is for --follow")
			}
			questions, err := parseQuestions(c.Args().First(), c.String("type"))
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runDNS(c.Context, in, questions, c.StringSlice("network"), a.ui)
		},
	}
}

// question is one thing to ask.
type question struct {
	name    string
	qtype   dnsmessage.Type
	address netip.Addr // whose name is asked for; else none
}

// about says whom the question is about.
func (q question) about() string {
	if q.address.IsValid() {
		return "has the address " + q.address.String()
	}
	return fmt.Sprintf("is called %q", q.name)
}

// dnsTypes are the types that can be asked for by name. The package knows their names with a prefix only.
var dnsTypes = []dnsmessage.Type{
	dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME, dnsmessage.TypeMX, dnsmessage.TypeNS, dnsmessage.TypePTR,
	dnsmessage.TypeSOA, dnsmessage.TypeSRV, dnsmessage.TypeTXT,
}

func parseQuestions(name, qtype string) ([]question, error) {
	if strings.TrimSpace(name) == "" {
		return nil, fmt.Errorf("invalid name %q: want what a container or a host is called, or an address", name)
	}
	address, notAddress := netip.ParseAddr(name)
	isAddress := notAddress == nil
	if qtype != "" {
		i := slices.IndexFunc(dnsTypes, func(t dnsmessage.Type) bool { return strings.EqualFold(typeName(t), qtype) })
		if i < 0 {
			return nil, fmt.Errorf("invalid argument %q for \"-t, --type\" flag: not a type of records that can be asked for", qtype)
		}
		if !isAddress || dnsTypes[i] != dnsmessage.TypePTR {
			return []question{{name: name, qtype: dnsTypes[i]}}, nil
		}
	}
	if !isAddress {
		return []question{{name: name, qtype: dnsmessage.TypeA}, {name: name, qtype: dnsmessage.TypeAAAA}}, nil
	}
	return []question{{reverseName(address), dnsmessage.TypePTR, address.Unmap()}}, nil
}

func typeName(t dnsmessage.Type) string { return strings.TrimPrefix(t.String(), "Type") }

// reverseName is the name under which an address is looked up (RFC 1035 3.5, RFC 3596 2.5).
func reverseName(a netip.Addr) string {
	var b strings.Builder
	a = a.Unmap()
	for _, part := range slices.Backward(a.AsSlice()) {
		if a.Is4() {
			fmt.Fprintf(&b, "%d.", part)
		} else {
			fmt.Fprintf(&b, "%x.%x.", part&15, part>>4)
		}
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}

// runDNS prints the records that a container on the networks would get, each with who answers. It fails if there are none.
func runDNS(ctx context.Context, in *lifecycle.Installation, questions []question, networks []string, ui *ui) error {
	config, err := in.Networks.Resolver(networks...)
	if err != nil {
		return err
	}
	var codes []dnsmessage.RCode
	found := false
	for _, q := range questions {
		answer, err := dns.Resolve(ctx, config, nil, q.name, uint16(q.qtype))
		if err != nil {
			return err
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer.Message); err != nil {
			return fmt.Errorf("read answer about %s: %w", q.name, err)
		}
		codes = append(codes, m.RCode)
		for _, r := range m.Answers {
			found = true
			ui.printf("%s\t%d\t%s\t%s\t%s\n", printable(r.Header.Name.String()), r.Header.TTL, typeName(r.Header.Type), recordData(r.Body), source(in, answer, config, r.Body))
		}
		if !answer.Forwarded && len(m.Answers) == 0 {
			ui.notice(fmt.Sprintf("%s has no %s record: %s is called so", q.name, typeName(q.qtype), source(in, answer, config, nil)))
			found = found || len(questions) == 1
		}
	}
	if found {
		return nil
	}
	return notResolved(questions[0], codes[0], config)
}

// others are the servers that are asked for what no container is called.
func others(config dns.Config) string {
	if len(config.Servers) > 0 {
		return "the network's servers"
	}
	return "the host's servers"
}

// notResolved says why there is no answer.
func notResolved(q question, code dnsmessage.RCode, config dns.Config) error {
	why := others(config) + " failed: " + strings.TrimPrefix(code.String(), "RCode")
	switch {
	case config.Internal && len(config.Servers) == 0:
		why = "an internal network asks nobody else"
	case code == dnsmessage.RCodeNameError:
		why = others(config) + " know no such name"
	case code == dnsmessage.RCodeSuccess:
		why = others(config) + " have no such record"
	}
	return fmt.Errorf("no container %s there, and %s", q.about(), why)
}

// recordData is what a record says, as dig(1) writes it.
func recordData(body dnsmessage.ResourceBody) string { return printable(rawData(body)) }

// printable writes bytes that a terminal would act on as dig(1) does: \DDD. Names may hold any.
func printable(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "\\%03d", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func rawData(body dnsmessage.ResourceBody) string {
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(r.AAAA).String()
	case *dnsmessage.PTRResource:
		return r.PTR.String()
	case *dnsmessage.CNAMEResource:
		return r.CNAME.String()
	case *dnsmessage.NSResource:
		return r.NS.String()
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", r.Pref, r.MX)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Target)
	case *dnsmessage.TXTResource:
		return strings.Trim(fmt.Sprintf("%q", r.TXT), "[]")
	}
	return fmt.Sprintf("%v", body)
}

// source says who answers: the container that has the address of a record, or any that has the name.
func source(in *lifecycle.Installation, answer dns.Answer, config dns.Config, body dnsmessage.ResourceBody) string {
	if answer.Forwarded {
		return others(config)
	}
	data := ""
	if body != nil {
		data = recordData(body)
	}
	for _, c := range answer.Containers {
		if data == "" || !c.Addr.IsValid() || c.Addr.String() == data {
			return fmt.Sprintf("container %s on network %s", containerName(in, c.ID), answer.Network)
		}
	}
	return "network " + answer.Network
}

// containerName is a container's name with its short ID, or the ID alone.
func containerName(in *lifecycle.Installation, id string) string {
	c, err := in.Containers.Load(id)
	if err != nil {
		return container.Short(id)
	}
	return c.Name + " (" + c.ShortID() + ")"
}
