package images

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// parsePlatform reads OS[/ARCH[/VARIANT]] or ARCH, in the words of Go, of uname(1) and of Docker. Empty is this machine's.
func parsePlatform(s string) (v1.Platform, error) {
	p := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	if s == "" {
		return normalize(p), nil
	}
	parts := strings.Split(strings.ToLower(s), "/")
	for _, part := range parts {
		if !validPath(part) {
			return v1.Platform{}, fmt.Errorf("platform %q: want OS/ARCHITECTURE[/VARIANT]", s)
		}
	}
	switch {
	case len(parts) > 3:
		return v1.Platform{}, fmt.Errorf("platform %q: want OS/ARCHITECTURE[/VARIANT]", s)
	case len(parts) == 1 && parts[0] == "linux":
	case len(parts) == 1:
		p.Architecture = parts[0]
	default:
		p.OS, p.Architecture = parts[0], parts[1]
		if len(parts) == 3 {
			p.Variant = parts[2]
		}
	}
	if p.OS != "linux" {
		return v1.Platform{}, fmt.Errorf("platform %q: only linux is supported", s)
	}
	p = normalize(p)
	if !slices.Contains(architectures, p.Architecture) {
		return v1.Platform{}, fmt.Errorf("platform %q: unknown architecture %q", s, p.Architecture)
	}
	return p, nil
}

// architectures are those that Linux runs on, in the words of Go, which images use.
var architectures = []string{
	"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x",
}

// IsFor tells whether the image is for a platform, as --platform names it. Empty is any.
func (i Image) IsFor(platform string) (bool, error) {
	if platform == "" {
		return true, nil
	}
	want, err := parsePlatform(platform)
	if err != nil {
		return false, err
	}
	return suits(v1.Descriptor{Platform: &i.Config.Platform}, want) > 0, nil
}

// normalize gives every architecture one spelling.
func normalize(p v1.Platform) v1.Platform {
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i686":
		p.Architecture = "386"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch {
	case p.Architecture == "arm64" && p.Variant == "v8":
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	case p.Architecture == "amd64" && p.Variant == "v1":
		p.Variant = ""
	}
	return p
}

// formatPlatform is what parsePlatform reads.
func formatPlatform(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// choose picks the manifest of an index that suits the platform best: its own variant, else a lesser one of the same
// architecture. Entries without a platform suit if nothing else does; attestations (unknown/unknown) never.
func choose(from []v1.Descriptor, want v1.Platform) (v1.Descriptor, error) {
	best, rank := v1.Descriptor{}, 0
	for _, d := range from {
		if r := suits(d, want); r > rank {
			best, rank = d, r
		}
	}
	if rank == 0 {
		return v1.Descriptor{}, fmt.Errorf("%w for %s in the manifest list entries", ErrPlatform, formatPlatform(want))
	}
	return best, nil
}

func suits(d v1.Descriptor, want v1.Platform) int {
	if d.Platform == nil || d.Platform.OS == "" && d.Platform.Architecture == "" {
		return 1
	}
	have := normalize(*d.Platform)
	switch {
	case have.OS != want.OS || have.Architecture != want.Architecture:
		return 0
	case have.Variant == want.Variant:
		return 100
	case have.Variant == "":
		return 2
	case want.Architecture == "arm" && have.Variant < want.Variant:
		return 2 + int(have.Variant[len(have.Variant)-1]-'0') // v6 before v5
	}
	return 0
}

// hostPlatform is this machine's.
func hostPlatform() v1.Platform {
	return normalize(v1.Platform{OS: "linux", Architecture: runtime.GOARCH})
}
