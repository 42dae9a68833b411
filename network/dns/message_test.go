package dns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// raw makes a message of a header and of what follows it.
func raw(flags uint16, questions, answers, authorities, additional uint16, rest string) []byte {
	m := []byte{0x12, 0x34}
	for _, n := range []uint16{flags, questions, answers, authorities, additional} {
		m = binary.BigEndian.AppendUint16(m, n)
	}
	return append(m, rest...)
}

const (
	question = "\x02db\x00\x00\x01\x00\x01"
	opt      = "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
)

// TestOddQueries: what is no query gets no answer at all, what cannot be read gets FORMERR, with the question if that could be.
func TestOddQueries(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3)
	s := New(Config{Networks: newZones(t)}, nil)
	defer s.closeZones()
	for _, test := range []struct {
		name    string
		message []byte
		want    string // none, forward, or the code with the number of questions
	}{
		{"empty", nil, "none"},
		{"half a header", raw(0, 1, 0, 0, 0, "")[:11], "none"},
		{"a reply", raw(flagResponse, 1, 0, 0, 0, question), "none"},
		{"header only", raw(0, 1, 0, 0, 0, ""), "FORMERR 0"},
		{"no question", raw(0, 0, 0, 0, 0, ""), "FORMERR 0"},
		{"two questions", raw(0, 2, 0, 0, 0, question+question), "FORMERR 0"},
		{"no end of name", raw(0, 1, 0, 0, 0, "\x02db"), "FORMERR 0"},
		{"no type", raw(0, 1, 0, 0, 0, "\x02db\x00\x00\x01\x00"), "FORMERR 0"},
		{"pointer to itself", raw(0, 1, 0, 0, 0, "\xc0\x0c\x00\x01\x00\x01"), "FORMERR 0"},
		{"extended label", raw(0, 1, 0, 0, 0, "\x41x\x00\x00\x01\x00\x01"), "FORMERR 0"},
		{"longest name", raw(0, 1, 0, 0, 0, long+"\x3d"+strings.Repeat("x", 61)+question[3:]), "forward"},
		{"name too long", raw(0, 1, 0, 0, 0, long+"\x3e"+strings.Repeat("x", 62)+question[3:]), "FORMERR 0"},
		{"missing record", raw(0, 1, 0, 0, 1, question), "FORMERR 1"},
		{"cut record", raw(0, 1, 0, 0, 1, question+opt[:8]), "FORMERR 1"},
		{"cut data", raw(0, 1, 0, 0, 1, question+opt[:10]+"\x01"), "FORMERR 1"},
		{"two OPT", raw(0, 1, 0, 0, 2, question+opt+opt), "FORMERR 1"},
		{"OPT with a name", raw(0, 1, 0, 0, 1, question+"\x01x"+opt), "FORMERR 1"},
		{"OPT in the wrong section", raw(0, 1, 1, 0, 0, question+opt), "NOERROR 1"},
		{"other record", raw(0, 1, 0, 0, 1, question+"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x00\x00\x01x"), "NOERROR 1"},
		{"rubbish at the end", raw(0, 1, 0, 0, 0, question+"rubbish"), "NOERROR 1"},
		{"class CH", raw(0, 1, 0, 0, 0, question[:7]+"\x00\x03"), "NOERROR 1"},
		{"notify", raw(4<<11, 1, 0, 0, 0, question), "NOTIMP 0"},
		{"update", raw(5<<11, 1, 0, 0, 0, question), "NOTIMP 0"},
		{"opcode 15", raw(15<<11, 1, 0, 0, 0, ""), "NOTIMP 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var q query
			reply, forward := s.answer(&q, &lookups{}, test.message, nil, 0)
			got := "none"
			if forward {
				got = "forward"
			}
			if reply != nil {
				var m mdns.Msg
				if err := m.Unpack(reply); err != nil {
					t.Fatalf("reply % x: %v", reply, err)
				}
				got = mdns.RcodeToString[m.Rcode] + " " + string('0'+rune(len(m.Question)))
				if m.Id != 0x1234 || !m.Response || m.Opcode != int(test.message[2]>>3&15) {
					t.Errorf("header of %v", m)
				}
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestReplies: only a reply to this very question, with this very ID, is one.
func TestReplies(t *testing.T) {
	var q query
	if err := q.parse(raw(0, 1, 0, 0, 0, question)); err != nil {
		t.Fatal(err)
	}
	const id = 0x1234
	record := "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
	for _, test := range []struct {
		name    string
		message []byte
		answers bool
		failed  bool
	}{
		{"answer", raw(flagResponse, 1, 1, 0, 0, question+record), true, false},
		{"other case", raw(flagResponse, 1, 1, 0, 0, strings.Replace(question, "db", "dB", 1)+record), true, false},
		{"NXDOMAIN", raw(flagResponse|3, 1, 0, 0, 0, question), true, false},
		{"empty", raw(flagResponse, 1, 0, 0, 0, question), true, false},
		{"truncated", raw(flagResponse|flagTruncated, 1, 0, 0, 0, question), true, false},
		{"NOTIMP", raw(flagResponse|codeNotImplemented, 1, 0, 0, 0, question), true, false},
		{"SERVFAIL", raw(flagResponse|codeServerFailure, 1, 0, 0, 0, question), true, true},
		{"REFUSED", raw(flagResponse|codeRefused, 1, 0, 0, 0, question), true, true},
		{"REFUSED without question", raw(flagResponse|codeRefused, 0, 0, 0, 0, ""), true, true},
		{"FORMERR without question", raw(flagResponse|codeFormatError, 0, 0, 0, 0, ""), true, true},
		{"answer without question", raw(flagResponse, 0, 1, 0, 0, record), false, false},
		{"error without question, with answer", raw(flagResponse|codeRefused, 0, 1, 0, 0, record), false, false},
		{"the question itself", raw(0, 1, 0, 0, 0, question), false, false},
		{"other ID", append([]byte{0x12, 0x35}, raw(flagResponse, 1, 1, 0, 0, question+record)[2:]...), false, false},
		{"other name", raw(flagResponse, 1, 0, 0, 0, strings.Replace(question, "db", "dc", 1)), false, false},
		{"longer name", raw(flagResponse, 1, 0, 0, 0, "\x03dbx"+question[3:]), false, false},
		{"other type", raw(flagResponse, 1, 0, 0, 0, "\x02db\x00\x00\x1c\x00\x01"), false, false},
		{"other class", raw(flagResponse, 1, 0, 0, 0, "\x02db\x00\x00\x01\x00\x03"), false, false},
		{"other opcode", raw(flagResponse|1<<11, 1, 0, 0, 0, question), false, false},
		{"two questions", raw(flagResponse, 2, 0, 0, 0, question+question), false, false},
		{"half", raw(flagResponse, 1, 0, 0, 0, question)[:15], false, false},
		{"nothing", nil, false, false},
	} {
		answers := q.answers(test.message, id)
		if answers != test.answers || answers && failed(test.message) != test.failed {
			t.Errorf("%s: answers %v, want %v; failed: want %v", test.name, answers, test.answers, test.failed)
		}
	}
}

// FuzzQuery: whatever a container sends, the reply is a message, of the size that was asked for, to that question.
func FuzzQuery(f *testing.F) {
	f.Add(raw(flagRecursionDesired, 1, 0, 0, 1, question+opt))
	f.Add(raw(0, 1, 0, 0, 0, "\x012\x010\x0218\x03172\x07in-addr\x04arpa\x00\x00\x0c\x00\x01"))
	f.Add(raw(0, 1, 0, 0, 0, "\x03web\x04blue\x04corp\x00\x00\xff\x00\x01"))
	f.Add(raw(0, 1, 0, 0, 0, "\xc0\x0c\x00\x01\x00\x01"))
	s := New(Config{Networks: newZones(f), NdotsSet: true}, nil)
	f.Cleanup(s.closeZones)
	f.Fuzz(func(t *testing.T, message []byte) {
		var q query
		before := bytes.Clone(message)
		reply, forward := s.answer(&q, &lookups{}, message, nil, 0)
		if !bytes.Equal(before, message) {
			t.Errorf("question was changed")
		}
		if forward && (reply != nil || len(q.question) == 0) {
			t.Errorf("forward: reply % x, question % x", reply, q.question)
		}
		if forward {
			reply = failure(&q, codeServerFailure)
		}
		var header mdns.Msg
		readable := header.Unpack(message) == nil || len(message) >= headerSize
		if reply == nil {
			if readable && message[2]&0x80 == 0 {
				t.Errorf("no reply to a query")
			}
			return
		}
		var m mdns.Msg
		if err := m.Unpack(reply); err != nil {
			t.Fatalf("reply % x: %v", reply, err)
		}
		if len(reply) > q.payload || !m.Response || !bytes.Equal(reply[:2], message[:2]) {
			t.Errorf("reply % x to % x", reply, message)
		}
		if len(m.Question) == 1 && !bytes.Equal(reply[headerSize:][:len(q.question)], message[headerSize:][:len(q.question)]) {
			t.Errorf("question of reply % x", reply)
		}
	})
}

// FuzzReply: whatever a server sends, it is taken as a reply only with the ID and the question.
func FuzzReply(f *testing.F) {
	f.Add(raw(flagResponse, 1, 0, 0, 0, question))
	f.Add(raw(flagResponse|5, 0, 0, 0, 0, ""))
	f.Add(raw(flagResponse, 1, 1, 0, 0, question+"\xc0\x0c"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		var q query
		if err := q.parse(raw(0, 1, 0, 0, 0, question)); err != nil {
			t.Fatal(err)
		}
		if !q.answers(reply, 0x1234) || failed(reply) {
			return
		}
		name := reply[headerSize : headerSize+len(question)]
		if reply[0] != 0x12 || reply[1] != 0x34 || !strings.EqualFold(string(name), question) {
			t.Errorf("% x was taken", reply)
		}
	})
}

// TestNewQuery: the other library reads what we ask.
func TestNewQuery(t *testing.T) {
	for _, name := range []string{"", ".", "db", "db.red.", "A.b"} {
		packed, err := newQuery(name, typeAAAA)
		var m mdns.Msg
		if err = errors.Join(err, m.Unpack(packed)); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if m.Question[0] != (mdns.Question{Name: mdns.Fqdn(name), Qtype: typeAAAA, Qclass: classIN}) || !m.RecursionDesired {
			t.Errorf("%q: %v", name, m)
		}
	}
	for _, name := range []string{"a..b", "..", strings.Repeat("x", 64), strings.Repeat("x.", 127) + "x"} {
		if _, err := newQuery(name, typeA); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
}
