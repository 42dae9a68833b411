package dns

import (
	"encoding/binary"
	"errors"
)

// Numbers of the protocol: RFC 1035 section 4.1.1 and 3.2.2, RFC 6891.
const (
	headerSize = 12

	flagResponse           = 1 << 15
	flagTruncated          = 1 << 9
	flagRecursionDesired   = 1 << 8
	flagRecursionAvailable = 1 << 7
	flagCheckingDisabled   = 1 << 4
	maskOpcode             = 15 << 11
	maskCode               = 15

	codeSuccess        = 0
	codeFormatError    = 1
	codeServerFailure  = 2
	codeNotImplemented = 4
	codeRefused        = 5
	codeBadVersion     = 16 // in 12 bits: the upper 8 are in the OPT record

	typeA    = 1
	typePTR  = 12
	typeAAAA = 28
	typeOPT  = 41
	typeANY  = 255

	classIN = 1

	maxNameSize = 255   // in the wire format
	maxMessage  = 65535 // over TCP
	minPayload  = 512   // over UDP, for who says nothing else
	optSize     = 11    // an OPT record without options
)

// ourPayload is the size of UDP messages that our replies say we take: what crosses the Internet in one piece (the DNS flag
// day of 2020), though every client here is on the same machine.
const ourPayload = 1232

// query is a question that was read. It refers to the message that it was read from.
type query struct {
	message  []byte
	question []byte // of the message: name, type and class
	flags    uint16
	qtype    uint16
	class    uint16

	edns    bool
	version uint8
	payload int // the largest reply that the client takes over UDP

	// text is the name with dots between the labels, in the spelling of the client; it has no dot at the end. It is nothing
	// if a label holds a dot, which no name of a container does.
	text   []byte
	buffer [maxNameSize]byte // of text
}

var (
	errNotQuery  = errors.New("not a query")
	errMalformed = errors.New("malformed message")
)

// parse reads a message. errNotQuery says that it must not be answered at all (too short for a header, or a reply: answering
// those makes two servers talk for ever); errMalformed, that it is to be answered with FORMERR, where as much of q is set as
// could be read.
func (q *query) parse(message []byte) error {
	q.message, q.question, q.text = message, nil, nil
	q.edns, q.version, q.payload = false, 0, minPayload
	if len(message) < headerSize {
		return errNotQuery
	}
	q.flags = binary.BigEndian.Uint16(message[2:])
	if q.flags&flagResponse != 0 {
		return errNotQuery
	}
	if q.flags&maskOpcode != 0 {
		return nil // whatever follows, it is no question that we know
	}
	if binary.BigEndian.Uint16(message[4:]) != 1 {
		return errMalformed
	}
	end, err := q.parseName()
	if err != nil {
		return err
	}
	if len(message) < end+4 {
		return errMalformed
	}
	q.qtype = binary.BigEndian.Uint16(message[end:])
	q.class = binary.BigEndian.Uint16(message[end+2:])
	q.question = message[headerSize : end+4]
	return q.parseRecords(end + 4)
}

// parseName reads the name of the question into text and returns where it ends. There is nothing before it that a
// compressed name could refer to.
func (q *query) parseName() (end int, err error) {
	text, plain := q.buffer[:0], true
	for i := headerSize; i < len(q.message); {
		n := int(q.message[i])
		i++
		if n == 0 {
			if plain {
				q.text = text
			}
			return i, nil
		}
		if n > 63 || i+n > len(q.message) || i+n+1-headerSize > maxNameSize {
			return 0, errMalformed
		}
		if len(text) > 0 {
			text = append(text, '.')
		}
		for _, c := range q.message[i : i+n] {
			plain = plain && c != '.'
			text = append(text, c)
		}
		i += n
	}
	return 0, errMalformed
}

// parseRecords goes through the records after the question, of which there is usually one at most, the OPT record.
func (q *query) parseRecords(i int) error {
	count := 0
	for section := 6; section <= 10; section += 2 {
		count += int(binary.BigEndian.Uint16(q.message[section:]))
	}
	for range count {
		start := i
		i = skipName(q.message, i)
		if i < 0 || i+10 > len(q.message) {
			return errMalformed
		}
		record := q.message[i:]
		i += 10 + int(binary.BigEndian.Uint16(record[8:]))
		if i > len(q.message) {
			return errMalformed
		}
		if binary.BigEndian.Uint16(record) != typeOPT {
			continue
		}
		if q.edns || q.message[start] != 0 {
			return errMalformed // RFC 6891, 6.1.1: one at most, and its name is the root
		}
		q.edns = true
		q.payload = max(minPayload, int(binary.BigEndian.Uint16(record[2:])))
		q.version = record[5]
	}
	return nil
}

// skipName returns where the name that begins at i ends, or -1.
func skipName(message []byte, i int) int {
	for i < len(message) {
		n := int(message[i])
		switch {
		case n == 0:
			return i + 1
		case n >= 0xc0:
			return i + 2
		case n > 63:
			return -1
		}
		i += 1 + n
	}
	return -1
}

// answers tells whether a message is a reply to the question, and nothing else: its ID must be the one given.
func (q *query) answers(reply []byte, id uint16) bool {
	if len(reply) < headerSize || binary.BigEndian.Uint16(reply) != id {
		return false
	}
	flags := binary.BigEndian.Uint16(reply[2:])
	if flags&flagResponse == 0 || flags&maskOpcode != 0 {
		return false
	}
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		// Some servers that fail give the question not back. Such a message can say nothing but that.
		return flags&maskCode != codeSuccess && binary.BigEndian.Uint16(reply[6:]) == 0 && failed(reply)
	}
	if binary.BigEndian.Uint16(reply[4:]) != 1 || len(reply) < headerSize+len(q.question) {
		return false
	}
	name := len(q.question) - 4 // lengths of labels are below 'A': equalFold does not take them for letters
	question := reply[headerSize : headerSize+len(q.question)]
	return equalFold(question[:name], q.question[:name]) && string(question[name:]) == string(q.question[name:])
}

// sameCase tells whether a reply that answers the question has it in the same letters, if it has it at all.
func (q *query) sameCase(reply []byte) bool {
	return binary.BigEndian.Uint16(reply[4:]) == 0 || string(reply[headerSize:headerSize+len(q.question)]) == string(q.question)
}

// failed tells whether a reply leaves the question to the next server.
func failed(reply []byte) bool {
	switch reply[3] & maskCode {
	case codeServerFailure, codeRefused:
		return true
	}
	// Without the question it is no answer that a client would take.
	return binary.BigEndian.Uint16(reply[4:]) == 0
}

// equalFold compares names without regard to the case of ASCII letters, and of those only (RFC 4343).
func equalFold[A, B string | []byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
