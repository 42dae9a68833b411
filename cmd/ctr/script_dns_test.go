package main_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdDNSUpstream starts a DNS server on port 53 of an address of the host, over UDP and TCP. It answers from the records in the
// file, which are written as in a zone file. A name without records does not exist, but for names below "servfail.", where it
// answers SERVFAIL, and below "silent.", where it does not answer. An answer that is too long for the asker's UDP is
// truncated. Each question is added to the file ADDRESS.log as "udp|tcp NAME TYPE".
func cmdDNSUpstream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: dnsupstream ADDRESS FILE")
	}
	log, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	u := &upstream{log: log}
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		rr, err := dns.NewRR(line)
		ts.Check(err)
		u.records = append(u.records, rr)
	}
	address := net.JoinHostPort(args[0], "53")
	udp, err := net.ListenPacket("udp", address)
	ts.Check(err)
	tcp, err := net.Listen("tcp", address)
	ts.Check(err)
	var served sync.WaitGroup
	servers := []*dns.Server{{PacketConn: udp, Handler: u}, {Listener: tcp, Handler: u}}
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		served.Go(func() { _ = server.ActivateAndServe() })
		<-started
	}
	ts.Defer(func() {
		for _, server := range servers {
			_ = server.Shutdown()
		}
		served.Wait()
		log.Close()
	})
}

// upstream is a fake name server.
type upstream struct {
	records []dns.RR
	mu      sync.Mutex
	log     *os.File
}

// ServeDNS answers one question.
func (u *upstream) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	q := question.Question[0]
	network := w.LocalAddr().Network()
	u.mu.Lock()
	fmt.Fprintf(u.log, "%s %s %s\n", network, q.Name, dns.TypeToString[q.Qtype])
	u.mu.Unlock()

	answer := new(dns.Msg).SetReply(question)
	answer.RecursionAvailable = true
	answer.Rcode = dns.RcodeNameError
	for _, rr := range u.records {
		if !strings.EqualFold(rr.Header().Name, q.Name) {
			continue
		}
		answer.Rcode = dns.RcodeSuccess
		if rr.Header().Rrtype == q.Qtype {
			answer.Answer = append(answer.Answer, rr)
		}
	}
	if answer.Rcode == dns.RcodeNameError {
		switch name := strings.ToLower(q.Name); {
		case strings.HasSuffix(name, "silent."):
			return
		case strings.HasSuffix(name, "servfail."):
			answer.Rcode = dns.RcodeServerFailure
		}
	}
	size := dns.MinMsgSize
	if opt := question.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
		answer.SetEdns0(dns.DefaultMsgSize, false)
	}
	if network == "udp" {
		answer.Truncate(size)
	}
	_ = w.WriteMsg(answer)
}
