package images

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// FuzzManifest reads arbitrary documents as whatever they say that they are. What is accepted must be safe to act on.
func FuzzManifest(f *testing.F) {
	l := newLayout(f)
	f.Add(mustJSON(f, l.manifest))
	f.Add(mustJSON(f, v1.Index{Manifests: []v1.Descriptor{descriptor(v1.MediaTypeImageManifest, nil)}}))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`))
	f.Add([]byte(`{"config":{"digest":"sha256:../x","size":-1},"layers":[{"urls":["http://x"]}]}`))
	f.Add(l.config)
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := isIndex(data, "")
		if err != nil {
			return
		}
		if index {
			var i v1.Index
			if unmarshal(data, &i) != nil {
				return
			}
			if d, err := choose(i.Manifests, hostPlatform()); err == nil && checkDescriptor(d) == nil {
				(&Store{}).blobPath(d.Digest.String())
			}
			return
		}
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		for _, d := range append(m.Layers, m.Config) {
			if path := (&Store{dir: "/x"}).blobPath(d.Digest.String()); !strings.HasPrefix(path, "/x/blobs/sha256/") || d.Size < 0 {
				t.Errorf("accepted %+v", d)
			}
		}
		if c, err := parseConfig(data, m); err == nil {
			layersOf(m, c)
		}
	})
}

// FuzzLoad loads arbitrary archives. Whatever they are, nothing may stay but the images that were loaded.
func FuzzLoad(f *testing.F) {
	files, _ := legacy(f)
	f.Add(tarOf(f, files...))
	f.Add(gzipOf(f, tarOf(f, files...)))
	f.Add(tarOf(f, newLayout(f).files(f, "x:1")...))
	f.Add(sparse())
	f.Fuzz(func(t *testing.T, data []byte) {
		s := testStore(t)
		loaded, err := s.Load(context.Background(), bytes.NewReader(data))
		if err != nil && len(loaded) > 0 {
			t.Errorf("loaded %+v in spite of %v", loaded, err)
		}
		for _, l := range loaded {
			for _, layer := range mustFind(t, s, l.ID).Layers {
				mustRead(t, s, layer)
			}
		}
		wantClean(t, s)
	})
}

// FuzzDecompress reads arbitrary streams, which must end: with their content or with an error.
func FuzzDecompress(f *testing.F) {
	plain := rootfs(f, "x")
	f.Add(plain)
	f.Add(gzipOf(f, plain))
	f.Add(zstdOf(f, plain))
	f.Add([]byte("BZh91AY&SY"))
	f.Add([]byte("\xfd7zXZ\x00\x00\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, kind, err := decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(r, 2*freeGrowth))
		if n > freeGrowth+(1<<20) {
			t.Errorf("%d bytes became %d", len(data), n)
		}
		if kind == uncompressed && (err != nil || n != int64(len(data))) {
			t.Errorf("%d bytes that are not compressed became %d, %v", len(data), n, err)
		}
	})
}

// FuzzChange applies arbitrary instructions.
func FuzzChange(f *testing.F) {
	for _, s := range []string{
		"ENV A=1 B='2'", "CMD [\"x\"]", "EXPOSE 80-90/udp", "HEALTHCHECK --interval=1s CMD x", "WORKDIR ../x", "LABEL a=\"b\\\"\"", "VOLUME [\"/x\"]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var c Config
		if change(&c, line) != nil {
			return
		}
		for _, e := range c.Config.Env {
			if strings.ContainsAny(e, "\x00\n") || strings.HasPrefix(e, "=") {
				t.Errorf("%q made the variable %q", line, e)
			}
		}
		if w := c.Config.WorkingDir; w != "" && !strings.HasPrefix(w, "/") {
			t.Errorf("%q made the working directory %q", line, w)
		}
	})
}
