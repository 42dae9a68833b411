package images

import (
	"fmt"
	"strings"
)

// What a short name leaves out.
const (
	defaultDomain = "docker.io"
	legacyDomain  = "index.docker.io"
	officialRepo  = "library/"
	defaultTag    = "latest"
)

const (
	maxPath = 255 // bytes of a repository's path, as in Docker
	maxTag  = 128 // bytes, image-spec and distribution-spec
)

// Reference is the parsed name of an image: DOMAIN/PATH[:TAG][@DIGEST], with nothing left out but the tag or digest that the
// user left out.
//
// The grammar is that of github.com/distribution/reference, which the tests compare it with. That package itself compiles
// regular expressions for most of a millisecond whenever a program starts, and this one starts several times a container.
type Reference struct {
	Domain string // docker.io, localhost:5000
	Path   string // library/busybox
	Tag    string // latest; may be empty
	Digest string // sha256:<hex>; may be empty
}

// ParseReference reads a name as users write it: busybox, busybox:1.36, me/app, registry.example:5000/app@sha256:<hex>. It
// returns ErrReference if it is none.
func ParseReference(s string) (Reference, error) {
	if isHex(s, 64) {
		return Reference{}, fmt.Errorf("%w: %q: a repository's name cannot be 64 hexadecimal digits", ErrReference, s)
	}
	var r Reference
	rest, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if !validDigest(digest) {
			return Reference{}, fmt.Errorf("%w: %q: want sha256:<64 hexadecimal digits> after @", ErrReference, s)
		}
		r.Digest = digest
	}
	// The last colon starts a tag, unless it belongs to the domain's port.
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "/") {
		rest, r.Tag = rest[:i], rest[i+1:]
		if !validTag(r.Tag) {
			return Reference{}, fmt.Errorf("%w: %q: invalid tag", ErrReference, s)
		}
	}
	r.Domain, r.Path = splitDomain(rest)
	switch {
	case r.Path != strings.ToLower(r.Path):
		return Reference{}, fmt.Errorf("%w: repository name (%s) must be lowercase", ErrReference, r.Path)
	case len(r.Path) > maxPath:
		return Reference{}, fmt.Errorf("%w: repository name must not be more than %d characters", ErrReference, maxPath)
	case !validDomain(r.Domain) || !validPath(r.Path):
		return Reference{}, fmt.Errorf("%w: %q", ErrReference, s)
	}
	return r, nil
}

// splitDomain tells the registry from the repository: the part before the first slash is a registry if it could not be a
// user's name at Docker Hub.
func splitDomain(name string) (domain, path string) {
	first, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		domain, path = defaultDomain, name
	case first == "localhost", strings.ContainsAny(first, ".:"), first != strings.ToLower(first):
		domain, path = first, rest
	default:
		domain, path = defaultDomain, name
	}
	if domain == legacyDomain {
		domain = defaultDomain
	}
	if domain == defaultDomain && !strings.Contains(path, "/") {
		path = officialRepo + path
	}
	return domain, path
}

// Name returns DOMAIN/PATH.
func (r Reference) Name() string { return r.Domain + "/" + r.Path }

// String returns the full name, which ParseReference reads.
func (r Reference) String() string { return r.Name() + r.suffix() }

// Familiar returns the name as Docker prints it: without docker.io/ and library/.
func (r Reference) Familiar() string { return r.familiarName() + r.suffix() }

func (r Reference) suffix() string {
	s := ""
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

func (r Reference) familiarName() string {
	if r.Domain != defaultDomain {
		return r.Name()
	}
	if short, ok := strings.CutPrefix(r.Path, officialRepo); ok && !strings.Contains(short, "/") {
		return short
	}
	return r.Path
}

// WithDefaultTag returns r with the tag latest if it has neither tag nor digest.
func (r Reference) WithDefaultTag() Reference {
	if r.Tag == "" && r.Digest == "" {
		r.Tag = defaultTag
	}
	return r
}

// key returns the name under which index.json has the image: a digest makes a tag meaningless.
func (r Reference) key() string {
	r = r.WithDefaultTag()
	if r.Digest != "" {
		r.Tag = ""
	}
	return r.String()
}

func validTag(s string) bool {
	if s == "" || len(s) > maxTag {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isAlnum(c) && c != '_' && (i == 0 || c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// validDomain tells whether s is HOST[:PORT], where HOST is a domain's name or an IPv6 address in brackets.
func validDomain(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if v6, ok := strings.CutPrefix(host, "["); ok {
		v6, ok = strings.CutSuffix(v6, "]")
		return ok && v6 != "" && strings.Trim(v6, "0123456789abcdefABCDEF:") == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isAlnum(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

// validPath tells whether s is words of a-z and 0-9 between slashes, joined by one dot, one or two underscores, or hyphens.
func validPath(s string) bool {
	for word := range strings.SplitSeq(s, "/") {
		if word == "" || !isLowerAlnum(word[0]) || !isLowerAlnum(word[len(word)-1]) {
			return false
		}
		for i := 0; i < len(word); {
			j := i
			for j < len(word) && !isLowerAlnum(word[j]) {
				j++
			}
			switch sep := word[i:j]; {
			case sep == "", sep == ".", sep == "_", sep == "__", strings.Trim(sep, "-") == "":
			default:
				return false
			}
			i = j + 1
		}
	}
	return true
}

// validDigest tells whether s is sha256:<64 lower-case hexadecimal digits>, the only digests that become paths here.
func validDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && isHex(hex, 64)
}

// isHex tells whether s is n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

func isLowerAlnum(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' }

func isAlnum(c byte) bool { return isLowerAlnum(c) || 'A' <= c && c <= 'Z' }
