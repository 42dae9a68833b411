package dns

import (
	"encoding/binary"
	"net/netip"
)

// reply builds a message. Records that do not fit make it a truncated one.
type reply struct {
	message []byte
	query   *query
	limit   int
	count   int
	code    uint16
	full    bool
}

// newReply begins the reply to a question, in the memory of buffer, of at most limit bytes.
func newReply(q *query, buffer []byte, limit int) reply {
	r := reply{query: q, limit: limit}
	r.message = append(buffer[:0], q.message[0], q.message[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	r.message = append(r.message, q.question...)
	if q.edns {
		r.limit -= optSize
	}
	return r
}

// address adds an A or AAAA record for the name of the question.
func (r *reply) address(addr netip.Addr, ttl uint32) {
	if addr.Is4() {
		data := addr.As4()
		r.record(typeA, ttl, data[:])
		return
	}
	data := addr.As16()
	r.record(typeAAAA, ttl, data[:])
}

// pointer adds a PTR record for the name of the question. Labels of the target, which is split at its dots, have at most 63
// bytes; if one has not, there is no record.
func (r *reply) pointer(target string, ttl uint32) {
	data := make([]byte, 0, maxNameSize)
	for len(target) > 0 {
		n := 0
		for n < len(target) && target[n] != '.' {
			n++
		}
		if n == 0 || n > 63 {
			return
		}
		data = append(append(data, byte(n)), target[:n]...)
		target = target[min(n+1, len(target)):]
	}
	if len(data) < maxNameSize {
		r.record(typePTR, ttl, append(data, 0))
	}
}

func (r *reply) record(kind uint16, ttl uint32, data []byte) {
	const fixed = 12 // name, type, class, TTL, length
	if r.full || len(r.message)+fixed+len(data) > r.limit {
		r.full = true
		return
	}
	m := append(r.message, 0xc0, headerSize) // the name of the question
	m = binary.BigEndian.AppendUint16(m, kind)
	m = binary.BigEndian.AppendUint16(m, classIN)
	m = binary.BigEndian.AppendUint32(m, ttl)
	m = binary.BigEndian.AppendUint16(m, uint16(len(data)))
	r.message = append(m, data...)
	r.count++
}

// bytes completes the message. Flags are those of a resolver that is no authority: "qr rd ra" for who asked with rd.
func (r *reply) bytes() []byte {
	flags := flagResponse | flagRecursionAvailable | r.query.flags&(maskOpcode|flagRecursionDesired|flagCheckingDisabled)
	if r.full {
		flags |= flagTruncated
	}
	m := r.message
	binary.BigEndian.PutUint16(m[2:], flags|r.code&maskCode)
	if len(r.query.question) > 0 {
		m[5] = 1
	}
	binary.BigEndian.PutUint16(m[6:], uint16(r.count))
	if r.query.edns {
		m[11] = 1
		m = append(m, 0, 0, typeOPT)
		m = binary.BigEndian.AppendUint16(m, ourPayload)
		m = append(m, byte(r.code>>4), 0, 0, 0, 0, 0)
	}
	r.message = m
	return m
}
