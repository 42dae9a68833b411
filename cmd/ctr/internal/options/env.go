package options

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lookup is how a variable of the caller's own environment is found: os.LookupEnv.
type Lookup func(string) (string, bool)

// Env returns the variables of the given files and then those of -e, as NAME=value. A NAME alone takes the caller's value; if
// the caller has none, it is left out.
func Env(files, values []string, lookup Lookup) ([]string, error) {
	var env []string
	for _, file := range files {
		lines, err := readPairs(file, lookup)
		if err != nil {
			return nil, err
		}
		env = append(env, lines...)
	}
	for _, v := range values {
		name, _, ok := strings.Cut(v, "=")
		if name == "" || strings.ContainsRune(v, 0) {
			return nil, Invalid(v, "-e, --env", errors.New("invalid environment variable: "+v))
		}
		if !ok {
			value, found := lookup(name)
			if !found {
				continue
			}
			v = name + "=" + value
		}
		env = append(env, v)
	}
	return env, nil
}

// Labels returns the labels of the given files and then those of --label: NAME=value, or NAME alone for an empty value.
func Labels(files, values []string) (map[string]string, error) {
	var lines []string
	for _, file := range files {
		read, err := readPairs(file, func(string) (string, bool) { return "", true })
		if err != nil {
			return nil, err
		}
		lines = append(lines, read...)
	}
	for _, v := range values {
		if v == "" || v[0] == '=' {
			return nil, Invalid(v, "-l, --label", fmt.Errorf("invalid label '%s': empty name", v))
		}
		lines = append(lines, v)
	}
	if len(lines) == 0 {
		return nil, nil
	}
	labels := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		labels[name] = value
	}
	return labels, nil
}

// maxPairs bounds a file of variables or labels, in bytes.
const maxPairs = 16 << 20

// readPairs reads a file of NAME=value lines.
func readPairs(file string, lookup Lookup) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := parsePairs(io.LimitReader(f, maxPairs), lookup)
	if err != nil {
		return nil, fmt.Errorf("invalid env file (%s): %w", file, err)
	}
	return lines, nil
}

// parsePairs parses lines by Docker's rules: # begins a comment only at the start of a line, nothing is unquoted, the value
// is the rest of the line as it is.
func parsePairs(r io.Reader, lookup Lookup) ([]string, error) {
	var lines []string
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxPairs)
	for n := 1; s.Scan(); n++ {
		line := s.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
			return nil, fmt.Errorf("invalid utf8 bytes at line %d: %q", n, line)
		}
		text := strings.TrimLeftFunc(string(line), unicode.IsSpace)
		if text == "" || text[0] == '#' {
			continue
		}
		name, _, hasValue := strings.Cut(text, "=")
		switch {
		case strings.ContainsFunc(name, unicode.IsSpace):
			return nil, fmt.Errorf("variable '%s' contains whitespaces", name)
		case name == "":
			return nil, fmt.Errorf("no variable name on line '%s'", text)
		case hasValue:
			lines = append(lines, text)
		default:
			if value, ok := lookup(name); ok {
				lines = append(lines, name+"="+value)
			}
		}
	}
	return lines, s.Err()
}

// ArgumentError is an argument that a flag cannot take.
type ArgumentError struct {
	Value, Flag string
	Err         error
}

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("invalid argument %q for %q flag: %v", e.Value, e.Flag, e.Err)
}

// Unwrap returns the reason.
func (e *ArgumentError) Unwrap() error { return e.Err }

// Invalid returns an *ArgumentError.
func Invalid(value, flag string, err error) error { return &ArgumentError{value, flag, err} }
