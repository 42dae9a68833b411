package logs

import (
	"bytes"
	"errors"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Stream is which of a program's outputs a line came from.
type Stream uint8

// The streams.
const (
	Stdout Stream = iota
	Stderr
)

// String returns the stream's name as the log spells it.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Entry is one line of a log, or a part of a line that was too long for one entry.
type Entry struct {
	Time   time.Time
	Stream Stream
	Line   []byte // with its newline; a part that another one follows has none. Valid until the next entry is read.
	Attrs  []byte // what the entry carries with it, a JSON object of strings; nil: nothing. Valid as long as Line.
}

// errMalformed is returned by decode for what is no entry: a line that a crash of the machine cut short.
var errMalformed = errors.New("malformed log entry")

const hexDigits = "0123456789abcdef"

// plain tells which bytes stand for themselves in a JSON string. Like Docker (and encoding/json) the log escapes <, > and &.
var plain = func() (t [utf8.RuneSelf]bool) {
	for b := byte(' '); b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\' && b != '<' && b != '>' && b != '&' && b != 0x7f
	}
	t[0x7f] = true
	return t
}()

// appendEntry appends one entry. The tail is what follows the text: see tail.
func appendEntry(dst, line []byte, newline bool, tail []byte) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendEscaped(dst, line)
	if newline {
		dst = append(dst, `\n`...)
	}
	return append(dst, tail...)
}

// appendTail appends what all entries of one stream and moment have in common: everything after the text.
func appendTail(dst []byte, s Stream, attrs string, t time.Time) []byte {
	dst = append(dst, `","stream":"`...)
	dst = append(dst, s.String()...)
	if attrs != "" {
		dst = append(append(dst, `","attrs":`...), attrs...)
		dst = append(dst, `,"time":"`...)
	} else {
		dst = append(dst, `","time":"`...)
	}
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, "\"}\n"...)
}

// appendEscaped appends text as the inside of a JSON string. Bytes that are no UTF-8 become U+FFFD, as in Docker.
func appendEscaped(dst, s []byte) []byte {
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if plain[b] {
				i++
				continue
			}
			dst = appendEscapedByte(append(dst, s[start:i]...), b)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript, not in JSON
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

func appendEscapedByte(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
}

// decode reads one line of the log. The text goes to buf, which is returned for the next call; e.Line is a part of it.
// Members that it does not know are skipped.
func decode(line, buf []byte, e *Entry) ([]byte, error) {
	*e = Entry{}
	s := scanner{in: line}
	if !s.next('{') {
		return buf, errMalformed
	}
	var haveTime, haveLog bool
	var word [64]byte
	for first := true; !s.next('}'); first = false {
		if !first && !s.next(',') {
			return buf, errMalformed
		}
		key, ok := s.text(word[:0])
		if !ok || !s.next(':') {
			return buf, errMalformed
		}
		switch string(key) {
		case "log":
			buf, ok = s.text(buf[:0])
			e.Line, haveLog = buf, true
		case "stream":
			key, ok = s.text(word[:0])
			if string(key) == "stderr" {
				e.Stream = Stderr
			}
		case "time":
			key, ok = s.text(word[:0])
			var err error
			e.Time, err = time.Parse(time.RFC3339Nano, string(key))
			ok, haveTime = ok && err == nil, true
		case "attrs":
			s.space()
			e.Attrs = s.in
			ok = s.skip(0)
			e.Attrs = e.Attrs[:len(e.Attrs)-len(s.in)]
		default:
			ok = s.skip(0)
		}
		if !ok {
			return buf, errMalformed
		}
	}
	if !haveTime || !haveLog || !s.end() {
		return buf, errMalformed
	}
	return buf, nil
}

// scanner walks through one JSON text. It is here, and not encoding/json, since that would cost a reader most of its time and
// the keeper a package that it needs for nothing else.
type scanner struct {
	in []byte
}

func (s *scanner) space() {
	for len(s.in) > 0 && (s.in[0] == ' ' || s.in[0] == '\t' || s.in[0] == '\r' || s.in[0] == '\n') {
		s.in = s.in[1:]
	}
}

// next takes the given byte, if it is the next one after white space.
func (s *scanner) next(b byte) bool {
	s.space()
	if len(s.in) == 0 || s.in[0] != b {
		return false
	}
	s.in = s.in[1:]
	return true
}

func (s *scanner) end() bool {
	s.space()
	return len(s.in) == 0
}

// text takes a JSON string and appends what it stands for.
func (s *scanner) text(dst []byte) ([]byte, bool) {
	if !s.next('"') {
		return dst, false
	}
	for {
		quote := bytes.IndexByte(s.in, '"')
		if quote < 0 {
			return dst, false
		}
		escape := bytes.IndexByte(s.in[:quote], '\\')
		if escape < 0 {
			dst = append(dst, s.in[:quote]...)
			s.in = s.in[quote+1:]
			return dst, true
		}
		dst = append(dst, s.in[:escape]...)
		s.in = s.in[escape+1:]
		var ok bool
		if dst, ok = s.escape(dst); !ok {
			return dst, false
		}
	}
}

// escape takes what follows a backslash.
func (s *scanner) escape(dst []byte) ([]byte, bool) {
	if len(s.in) == 0 {
		return dst, false
	}
	b := s.in[0]
	s.in = s.in[1:]
	switch b {
	case '"', '\\', '/':
		return append(dst, b), true
	case 'n':
		return append(dst, '\n'), true
	case 'r':
		return append(dst, '\r'), true
	case 't':
		return append(dst, '\t'), true
	case 'b':
		return append(dst, '\b'), true
	case 'f':
		return append(dst, '\f'), true
	case 'u':
		r, ok := s.unit()
		if !ok {
			return dst, false
		}
		if utf16.IsSurrogate(r) {
			r = s.surrogate(r)
		}
		return utf8.AppendRune(dst, r), true
	}
	return dst, false
}

// surrogate takes the second half of a pair, if it follows; a half alone is U+FFFD.
func (s *scanner) surrogate(high rune) rune {
	rest := s.in
	if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		s.in = rest[2:]
		if low, ok := s.unit(); ok {
			if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
				return r
			}
		}
		s.in = rest
	}
	return utf8.RuneError
}

// unit takes four hexadecimal digits.
func (s *scanner) unit() (rune, bool) {
	if len(s.in) < 4 {
		return 0, false
	}
	var r rune
	for _, b := range s.in[:4] {
		switch {
		case b >= '0' && b <= '9':
			b -= '0'
		case b >= 'a' && b <= 'f':
			b -= 'a' - 10
		case b >= 'A' && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(b)
	}
	s.in = s.in[4:]
	return r, true
}

// maxDepth bounds the nesting of values that skip walks through.
const maxDepth = 16

// skip takes any value.
func (s *scanner) skip(depth int) bool {
	s.space()
	if len(s.in) == 0 || depth > maxDepth {
		return false
	}
	switch s.in[0] {
	case '"':
		_, ok := s.text(nil)
		return ok
	case '{', '[':
		return s.skipList(depth)
	}
	i := bytes.IndexAny(s.in, ",}] \t\r\n")
	if i <= 0 {
		return false
	}
	s.in = s.in[i:]
	return true
}

// skipList takes an object or an array.
func (s *scanner) skipList(depth int) bool {
	object := s.in[0] == '{'
	closing := byte(']')
	if object {
		closing = '}'
	}
	s.in = s.in[1:]
	for first := true; !s.next(closing); first = false {
		if !first && !s.next(',') {
			return false
		}
		if object {
			if _, ok := s.text(nil); !ok || !s.next(':') {
				return false
			}
		}
		if !s.skip(depth + 1) {
			return false
		}
	}
	return true
}
