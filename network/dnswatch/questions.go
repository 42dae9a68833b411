package dnswatch

import (
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// patience is how long a question may be without an answer: what a resolver takes for three servers that are silent, and more.
	patience = 15 * time.Second
	// maxOpen is how many questions without an answer are remembered.
	maxOpen = 4096
)

// Question is one that was asked, with what became of it.
type Question struct {
	Time           time.Time
	Protocol       string // udp, tcp
	Client, Server netip.Addr
	Name           string // ends with a dot
	Type           dnsmessage.Type
	// Answered says that there was a reply, which the rest is about.
	Answered  bool
	Took      time.Duration
	Code      dnsmessage.RCode
	Truncated bool
	Answers   []dnsmessage.Resource
}

// key tells the open questions apart: a client's port and ID.
type key struct {
	tcp    bool
	client netip.AddrPort
	id     uint16
}

// questions are those without an answer so far.
type questions map[key]Question

// take looks at a packet and hands over the questions that it answers.
func (all questions) take(p packet, now time.Time, found func(Question)) {
	for _, message := range p.messages() {
		var parser dnsmessage.Parser
		header, err := parser.Start(message)
		if err != nil {
			continue
		}
		if !header.Response {
			all.ask(p, header, &parser, now)
			continue
		}
		k := key{p.tcp, p.to, header.ID}
		q, ok := all[k]
		if !ok {
			continue
		}
		delete(all, k)
		q.Answered, q.Took, q.Code, q.Truncated = true, now.Sub(q.Time), header.RCode, header.Truncated
		q.Answers = answers(&parser)
		found(q)
	}
}

// ask remembers a question. One that is repeated is the first one still.
func (all questions) ask(p packet, h dnsmessage.Header, parser *dnsmessage.Parser, now time.Time) {
	asked, err := parser.AllQuestions()
	if err != nil || len(asked) != 1 || h.OpCode != 0 || len(all) >= maxOpen {
		return
	}
	q := Question{
		Time: now, Protocol: "udp", Client: p.from.Addr(), Server: p.to.Addr(), Name: asked[0].Name.String(), Type: asked[0].Type,
	}
	if p.tcp {
		q.Protocol = "tcp"
	}
	k := key{p.tcp, p.from, h.ID}
	if old, again := all[k]; !again || old.Name != q.Name || old.Type != q.Type {
		all[k] = q
	}
}

// expire hands over the questions that have been without an answer for too long.
func (all questions) expire(now time.Time, found func(Question)) {
	for k, q := range all {
		if now.Sub(q.Time) >= patience {
			delete(all, k)
			found(q)
		}
	}
}

// answers reads the records of a reply, as far as they are well formed.
func answers(parser *dnsmessage.Parser) []dnsmessage.Resource {
	if parser.SkipAllQuestions() != nil {
		return nil
	}
	var all []dnsmessage.Resource
	for {
		r, err := parser.Answer()
		if err != nil {
			return all
		}
		all = append(all, r)
	}
}
