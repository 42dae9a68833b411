package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/net/dns/dnsmessage"

	"ctr/cmd/ctr/internal/format"
	"ctr/network/dns"
	"ctr/network/dnswatch"
	"ctr/runtime/lifecycle"
)

// asked is a question of a container, as printed.
type asked struct {
	Time     time.Time `json:"time"`
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Protocol string    `json:"protocol"`
	Client   string    `json:"client"`
	Server   string    `json:"server"`
	Code     string    `json:"code"` // NOERROR, NXDOMAIN, ...; empty: no answer came
	Answers  []string  `json:"answers"`
	// Truncated says that the answer did not fit: the client asks again over TCP.
	Truncated bool          `json:"truncated,omitempty"`
	From      string        `json:"from,omitempty"` // who is called so; empty: no container
	Took      time.Duration `json:"took"`           // nanoseconds
}

// codes are the names of RFC 6895, as dig(1) writes them.
var codes = map[dnsmessage.RCode]string{
	dnsmessage.RCodeSuccess: "NOERROR", dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL",
	dnsmessage.RCodeNameError: "NXDOMAIN", dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED",
}

func parseFollow(c *cli.Context) (print func(*ui, asked) error, err error) {
	if len(c.StringSlice("network")) > 0 || c.String("type") != "" {
		return nil, errors.New("conflicting options: --follow shows what a container asks on all its networks, of every type")
	}
	switch text := c.String("format"); text {
	case "":
		return printAsked, nil
	case "json", "{{json .}}":
		return func(ui *ui, a asked) error { return json.NewEncoder(ui.out).Encode(a) }, nil
	default:
		t, err := format.Parse(text)
		return func(ui *ui, a asked) error {
			line, err := format.Execute(t, a)
			if err == nil {
				_, err = ui.out.Write(line)
			}
			return err
		}, err
	}
}

// runFollow prints what a container asks until it ends, or until it is told to stop.
func runFollow(ctx context.Context, in *lifecycle.Installation, name string, print func(*ui, asked) error, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	missed, err := in.FollowDNS(ctx, c, func(config dns.Config, q dnswatch.Question) error {
		if err := print(ui, newAsked(in, config, q)); err != nil {
			return err
		}
		return ui.out.err
	})
	if missed > 0 {
		ui.warn(fmt.Sprintf("%d packets came faster than they could be shown", missed))
	}
	return err
}

func newAsked(in *lifecycle.Installation, config dns.Config, q dnswatch.Question) asked {
	a := asked{
		Time: q.Time, Name: printable(q.Name), Type: typeName(q.Type), Protocol: q.Protocol, Client: q.Client.String(), Server: q.Server.String(),
		Answers: []string{}, Truncated: q.Truncated, Took: q.Took,
	}
	if q.Answered {
		if a.Code = codes[q.Code]; a.Code == "" {
			a.Code = fmt.Sprintf("RCODE%d", q.Code)
		}
	}
	for _, r := range q.Answers {
		text := recordData(r.Body)
		if r.Header.Type != q.Type {
			text = typeName(r.Header.Type) + " " + text
		}
		a.Answers = append(a.Answers, text)
	}
	if q.Server != dns.Address {
		return a
	}
	if known, err := dns.Known(config, q.Name, uint16(q.Type)); err == nil && known.Network != "" {
		seen := map[string]bool{}
		var names []string
		for _, c := range known.Containers {
			if !seen[c.ID] {
				seen[c.ID] = true
				names = append(names, containerName(in, c.ID))
			}
		}
		a.From = fmt.Sprintf("container %s on network %s", strings.Join(names, ", "), known.Network)
	}
	return a
}

// printAsked prints a question on one line.
func printAsked(ui *ui, a asked) error {
	answer := strings.Join(a.Answers, " ")
	switch {
	case a.Code == "":
		answer = "no answer"
	case a.Code != "NOERROR":
		answer = a.Code
	case a.Truncated:
		answer = strings.TrimSpace(answer + " truncated")
	case answer == "":
		answer = "no such record"
	}
	from := a.From
	switch {
	case a.Server != dns.Address.String():
		from = "server " + a.Server
	case from == "":
		from = "other servers"
	}
	took := ""
	if a.Code != "" {
		took = fmt.Sprintf("%.1f ms", float64(a.Took)/float64(time.Millisecond))
	}
	ui.printf("%s\t%s\t%s\t%s\t%s\t%s\n", a.Time.Format("15:04:05.000"), a.Name, a.Type, answer, from, took)
	return nil
}
