package images

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseReference(t *testing.T) {
	tests := []struct{ in, full, familiar string }{
		{"busybox", "docker.io/library/busybox", "busybox"},
		{"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
		{"me/app", "docker.io/me/app", "me/app"},
		{"docker.io/busybox", "docker.io/library/busybox", "busybox"},
		{"index.docker.io/busybox", "docker.io/library/busybox", "busybox"},
		{"docker.io/library/busybox:x", "docker.io/library/busybox:x", "busybox:x"},
		{"localhost/app", "localhost/app", "localhost/app"},
		{"localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"},
		{"[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"},
		{"registry.example/a/b__c/d--e:V1", "registry.example/a/b__c/d--e:V1", "registry.example/a/b__c/d--e:V1"},
		{"busybox@" + someDigest, "docker.io/library/busybox@" + someDigest, "busybox@" + someDigest},
		{"busybox:1@" + someDigest, "docker.io/library/busybox:1@" + someDigest, "busybox:1@" + someDigest},
		{"UPPER/app", "UPPER/app", "UPPER/app"},
	}
	for _, test := range tests {
		r, err := ParseReference(test.in)
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		if r.String() != test.full || r.Familiar() != test.familiar {
			t.Errorf("%q: %q, %q; want %q, %q", test.in, r.String(), r.Familiar(), test.full, test.familiar)
		}
	}
}

func TestParseReferenceRefuses(t *testing.T) {
	for _, in := range []string{
		"", ":", "@", "/", "busybox:", "busybox@", "Busybox", "a/Busybox", "busy box", "-busybox", "busybox-", "a//b", "a..b", "a___b",
		"../busybox", "a/../b", "busybox:-1", "busybox:" + strings.Repeat("x", 129), "busybox@sha256:short", "busybox@md5:" + someDigest[7:],
		"busybox@" + strings.ToUpper(someDigest), "busybox@sha256:../../" + someDigest[13:], someDigest[7:], "http://busybox", "a:b:c",
		"localhost:/app", "localhost:x/app", "[::1/app", "a\x00b", "a\nb", strings.Repeat("a", 256),
	} {
		if r, err := ParseReference(in); !errors.Is(err, ErrReference) {
			t.Errorf("%q: %+v, %v; want ErrReference", in, r, err)
		}
	}
}

// FuzzParseReference compares with the package whose grammar this is. It is wider in one thing only: digests of other
// algorithms than sha256.
func FuzzParseReference(f *testing.F) {
	for _, s := range []string{
		"busybox", "me/app:1", "localhost:5000/a", "[::1]:5000/a/b@" + someDigest, "a.b/c__d-e", "docker.io/x", "A/b", "x:y@" + someDigest,
		"index.docker.io/library/x", "a:5000", "1.2.3.4:5/a:b", "docker.io/library/a/b", "library/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, wantErr := reference.ParseNormalizedNamed(s)
		got, err := ParseReference(s)
		if i := strings.IndexByte(s, '@'); wantErr == nil && i >= 0 && !validDigest(s[i+1:]) {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v; want %v", s, err, wantErr)
		}
		if err != nil {
			return
		}
		if got.String() != want.String() || got.Familiar() != reference.FamiliarString(want) {
			t.Fatalf("%q: %q, %q; want %q, %q", s, got.String(), got.Familiar(), want, reference.FamiliarString(want))
		}
		if again, err := ParseReference(got.Familiar()); err != nil || again != got {
			t.Fatalf("%q: familiar name %q reads as %+v, %v", s, got.Familiar(), again, err)
		}
	})
}
