package options

import (
	"fmt"
	"strings"
)

// DefaultDetachKeys is ctrl-p, ctrl-q.
var DefaultDetachKeys = []byte{16, 17}

// DetachKeys parses --detach-keys: comma-separated, each a single character or ctrl- and one of a-z, @, [, \, ], ^ and _.
// An empty text gives the default.
func DetachKeys(s string) ([]byte, error) {
	if s == "" {
		return DefaultDetachKeys, nil
	}
	var keys []byte
	for word := range strings.SplitSeq(s, ",") {
		b, ok := detachKey(word)
		if !ok {
			return nil, fmt.Errorf("invalid detach keys (%s): unknown character: %q", s, word)
		}
		keys = append(keys, b)
	}
	return keys, nil
}

func detachKey(word string) (byte, bool) {
	if word == "DEL" {
		return 127, true
	}
	if len(word) == 1 {
		return word[0], true
	}
	key, ok := strings.CutPrefix(word, "ctrl-")
	if !ok || len(key) != 1 {
		return 0, false
	}
	switch c := key[0]; {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 1, true
	case c == '@':
		return 0, true
	case c >= '[' && c <= '_':
		return c - '[' + 27, true
	}
	return 0, false
}
