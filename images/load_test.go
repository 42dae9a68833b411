package images

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func save(t testing.TB, s *Store, refs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(context.Background(), &b, refs); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(t testing.TB, s *Store, data []byte) []Loaded {
	t.Helper()
	loaded, err := s.Load(context.Background(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestSaveLoad(t *testing.T) {
	from, to := testStore(t), testStore(t)
	one := mustImport(t, from, "one:1", gzipOf(t, rootfs(t, "1")), "ENV A=1")
	two := mustImport(t, from, "me/two", zstdOf(t, rootfs(t, "2")))
	for _, tag := range []string{"one:2", "registry.example:5000/x/y:z"} {
		if err := from.Tag("one:1", tag); err != nil {
			t.Fatal(err)
		}
	}
	data := save(t, from, "one", "me/two", two.ID[:20], "registry.example:5000/x/y:z")
	if again := save(t, from, "one", "me/two", two.ID[:20], "registry.example:5000/x/y:z"); !bytes.Equal(data, again) {
		t.Error("two archives of the same images differ")
	}
	for name, data := range map[string][]byte{"tar": data, "gzip": gzipOf(t, data), "zstd": zstdOf(t, data)} {
		t.Run(name, func(t *testing.T) {
			loaded := load(t, to, data)
			if len(loaded) != 2 || loaded[0].ID != one.ID || loaded[1].ID != two.ID || len(loaded[0].Names) != 3 {
				t.Errorf("loaded %+v, want %s and %s", loaded, one.ID, two.ID)
			}
			wantNames(t, to, one.ID, "one:1", "one:2", "registry.example:5000/x/y:z")
			wantNames(t, to, two.ID, "me/two:latest")
			if got := mustRead(t, to, mustFind(t, to, "me/two").Layers[0]); !bytes.Equal(got, rootfs(t, "2")) {
				t.Error("layer is not what was saved")
			}
			if mustFind(t, to, "one:1").Digest != one.Digest {
				t.Error("the manifest's digest changed on the way")
			}
			wantClean(t, to)
		})
	}
}

// TestLoadManifestOnly reads an archive of Save as a program does that knows docker save's manifest.json alone.
func TestLoadManifestOnly(t *testing.T) {
	from, to := testStore(t), testStore(t)
	one := mustImport(t, from, "one", gzipOf(t, rootfs(t, "1")))
	data := without(t, save(t, from, "one"), indexFile)
	if loaded := load(t, to, data); len(loaded) != 1 || loaded[0].ID != one.ID || !slices.Equal(loaded[0].Names, []string{"one:latest"}) {
		t.Errorf("loaded %+v, want %s", loaded, one.ID)
	}
	wantClean(t, to)
}

func TestSaveErrors(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "one", rootfs(t, "1"))
	var b bytes.Buffer
	if err := s.Save(context.Background(), &b, []string{"one", "two"}); !errors.Is(err, ErrNotFound) || b.Len() > 0 {
		t.Errorf("error %v after %d bytes, want ErrNotFound before any", err, b.Len())
	}
	damage(t, s, i.Layers[0].Digest)
	if err := s.Save(context.Background(), &b, []string{"one"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

// legacy is what docker save wrote before version 25: two images that share a layer by a symbolic link.
func legacy(t testing.TB) (files []file, id string) {
	t.Helper()
	layer := rootfs(t, "legacy")
	config := configFor(t, layer)
	id = digest.FromBytes(config).Encoded()
	manifest := fmt.Sprintf(`[{"Config":"%s.json","RepoTags":["old:1","old:2"],"Layers":["aa/layer.tar"]},
		{"Config":"./%s.json","RepoTags":null,"Layers":["bb/layer.tar"]}]`, id, id)
	return []file{
		{name: "aa/", kind: tar.TypeDir},
		{name: "aa/VERSION", body: "1.0"},
		{name: "aa/json", body: "{}"},
		{name: "aa/layer.tar", body: string(layer)},
		{name: "bb/layer.tar", kind: tar.TypeSymlink, link: "../aa/layer.tar"},
		{name: id + ".json", body: string(config)},
		{name: "manifest.json", body: manifest},
		{name: "repositories", body: `{"old":{"1":"aa"}}`},
	}, "sha256:" + id
}

func configFor(t testing.TB, layers ...[]byte) []byte {
	t.Helper()
	c := Config{}
	c.Platform = hostPlatform()
	c.RootFS.Type = "layers"
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l))
	}
	return mustJSON(t, c)
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLoadLegacy(t *testing.T) {
	files, id := legacy(t)
	s := testStore(t)
	loaded := load(t, s, gzipOf(t, tarOf(t, files...)))
	if len(loaded) != 1 || loaded[0].ID != id || !slices.Equal(loaded[0].Names, []string{"old:1", "old:2"}) {
		t.Errorf("loaded %+v, want %s as old:1 and old:2", loaded, id)
	}
	if got := mustRead(t, s, mustFind(t, s, "old:2").Layers[0]); !bytes.Equal(got, rootfs(t, "legacy")) {
		t.Error("layer is not what was saved")
	}
	wantClean(t, s)
}

// layout makes the files of an OCI layout of one image; edit may spoil its manifest and configuration.
type layout struct {
	layer, config []byte
	manifest      v1.Manifest
	index         v1.Index
}

func newLayout(t testing.TB) *layout {
	t.Helper()
	l := &layout{layer: gzipOf(t, rootfs(t, "layout"))}
	l.config = configFor(t, rootfs(t, "layout"))
	l.manifest.SchemaVersion = 2
	l.manifest.MediaType = v1.MediaTypeImageManifest
	l.manifest.Config = descriptor(v1.MediaTypeImageConfig, l.config)
	l.manifest.Layers = []v1.Descriptor{descriptor(v1.MediaTypeImageLayerGzip, l.layer)}
	return l
}

func descriptor(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func (l *layout) files(t testing.TB, name string) []file {
	t.Helper()
	manifest := mustJSON(t, l.manifest)
	if l.index.Manifests == nil {
		d := descriptor(v1.MediaTypeImageManifest, manifest)
		d.Annotations = map[string]string{annotateRef: name}
		l.index.Manifests = []v1.Descriptor{d}
	}
	l.index.SchemaVersion = 2
	files := []file{{name: "index.json", body: string(mustJSON(t, l.index))}}
	for _, b := range [][]byte{l.layer, l.config, manifest} {
		files = append(files, file{name: "./" + blobName(digest.FromBytes(b)), body: string(b)})
	}
	return files
}

func TestLoadLayout(t *testing.T) {
	for name, want := range map[string][]string{"app:1": {"app:1"}, "x.example/app:1": {"x.example/app:1"}, "latest": nil, "": nil} {
		s := testStore(t)
		l := newLayout(t)
		loaded := load(t, s, tarOf(t, l.files(t, name)...))
		if len(loaded) != 1 || loaded[0].ID != digest.FromBytes(l.config).String() || !slices.Equal(loaded[0].Names, want) {
			t.Errorf("%q: loaded %+v, want the names %q", name, loaded, want)
		}
		wantClean(t, s)
	}
}

// TestLoadPlatforms reads an archive whose index names more platforms than the archive holds, and an attestation.
func TestLoadPlatforms(t *testing.T) {
	l := newLayout(t)
	mine := descriptor(v1.MediaTypeImageManifest, mustJSON(t, l.manifest))
	host := hostPlatform()
	mine.Platform = &host
	absent := mine
	absent.Digest, absent.Platform = someDigest, &v1.Platform{OS: "linux", Architecture: "s390x"}
	attestation := mine
	attestation.Digest, attestation.Platform = someDigest, &v1.Platform{OS: "unknown", Architecture: "unknown"}
	nested := mustJSON(t, v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{absent, attestation, mine}})
	top := descriptor(v1.MediaTypeImageIndex, nested)
	top.Annotations = map[string]string{annotateContainerd: "docker.io/library/multi:1", annotateRef: "1"}
	l.index.Manifests = []v1.Descriptor{top}
	files := append(l.files(t, ""), file{name: blobName(top.Digest), body: string(nested)})
	s := testStore(t)
	load(t, s, tarOf(t, files...))
	wantNames(t, s, digest.FromBytes(l.config).String(), "multi:1")
	wantClean(t, s)
}

func TestLoadBroken(t *testing.T) {
	old, _ := legacy(t)
	oldTar := tarOf(t, old...)
	zeros := strings.Repeat("0", 64)
	spoil := func(edit func(*layout)) []byte {
		l := newLayout(t)
		edit(l)
		return tarOf(t, l.files(t, "x:1")...)
	}
	replaced := func(name, body string) []byte {
		return tarOf(t, append(slices.Clone(old), file{name: name, body: body})...)
	}
	for name, data := range map[string][]byte{
		"empty":          nil,
		"no images":      tarOf(t, file{name: "hello", body: "hi"}),
		"text":           []byte(strings.Repeat("hello world\n", 1000)),
		"cut":            oldTar[:len(oldTar)/2],
		"cut gzip":       gzipOf(t, oldTar)[:300],
		"very old":       tarOf(t, file{name: "repositories", body: "{}"}),
		"empty list":     replaced("manifest.json", "[]"),
		"no JSON":        replaced("manifest.json", "[{"),
		"wrong JSON":     replaced("manifest.json", `{"a":1}`),
		"no layers":      replaced("manifest.json", strings.Replace(old[6].body, `["aa/layer.tar"]`, "[]", 1)),
		"layer missing":  replaced("manifest.json", strings.Replace(old[6].body, "aa/layer", "cc/layer", 1)),
		"layer outside":  replaced("manifest.json", strings.Replace(old[6].body, "aa/layer.tar", "../../../../etc/passwd", 1)),
		"config missing": replaced("manifest.json", strings.Replace(old[6].body, `"Config":"`, `"Config":"x`, 1)),
		"bad tag":        replaced("manifest.json", strings.Replace(old[6].body, "old:1", "Old:1", 1)),
		"other layer":    replaced("aa/layer.tar", string(rootfs(t, "other"))),
		"cycle":          tarOf(t, append(slices.Clone(old), file{name: "aa/layer.tar", kind: tar.TypeSymlink, link: "../bb/layer.tar"})...),
		"link to itself": tarOf(t, file{name: "manifest.json", kind: tar.TypeSymlink, link: "manifest.json"}),
		"digest of blob": spoil(func(l *layout) { l.manifest.Layers[0].Digest = digest.Digest("sha256:" + zeros) }),
		"size of blob":   spoil(func(l *layout) { l.manifest.Layers[0].Size++ }),
		"path as digest": spoil(func(l *layout) { l.manifest.Layers[0].Digest = "sha256:../../../../etc/passwd" }),
		"upper case": spoil(func(l *layout) {
			l.manifest.Config.Digest = digest.Digest(strings.ToUpper(l.manifest.Config.Digest.String()))
		}),
		"sha512": spoil(func(l *layout) { l.manifest.Config.Digest = digest.SHA512.FromString("") }),
		"foreign layer": spoil(func(l *layout) {
			l.manifest.Layers[0].MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar"
		}),
		"unknown layer":   spoil(func(l *layout) { l.manifest.Layers[0].MediaType = "text/plain" }),
		"artifact":        spoil(func(l *layout) { l.manifest.Config.MediaType = "application/vnd.cncf.helm.config.v1+json" }),
		"more DiffIDs":    spoil(func(l *layout) { l.setConfig(configFor(t, rootfs(t, "layout"), nil)) }),
		"wrong DiffID":    spoil(func(l *layout) { l.setConfig(configFor(t, rootfs(t, "not it"))) }),
		"config no JSON":  spoil(func(l *layout) { l.setConfig([]byte("{")) }),
		"too many layers": spoil(func(l *layout) { l.manifest.Layers = slices.Repeat(l.manifest.Layers, maxLayers+1) }),
		"deep index":      tarOf(t, deepIndex(t)...),
		"sparse":          sparse(),
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			loaded, err := s.Load(context.Background(), bytes.NewReader(data))
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrReference) && !errors.Is(err, ErrPlatform) {
				t.Fatalf("loaded %+v, error %v, want ErrInvalid", loaded, err)
			}
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
				t.Errorf("error %q is not one clear line", err)
			}
			wantClean(t, s)
			wantBlobs(t, s, 0)
		})
	}
}

func (l *layout) setConfig(data []byte) {
	l.config = data
	l.manifest.Config = descriptor(v1.MediaTypeImageConfig, data)
}

// deepIndex is an index that leads to an index, and so on, further than anyone follows.
func deepIndex(t testing.TB) []file {
	t.Helper()
	var files []file
	d := v1.Descriptor{MediaType: v1.MediaTypeImageIndex, Digest: someDigest}
	for range maxNesting + 1 {
		data := mustJSON(t, v1.Index{Manifests: []v1.Descriptor{d}})
		d = descriptor(v1.MediaTypeImageIndex, data)
		files = append(files, file{name: blobName(d.Digest), body: string(data)})
	}
	return append(files, file{name: "index.json", body: string(mustJSON(t, v1.Index{Manifests: []v1.Descriptor{d}}))})
}

// sparse is a tar whose only member claims a terabyte of hole.
func sparse() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	records := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.name=index.json\n35 GNU.sparse.realsize=1099511627776\n"
	// The writer refuses to write such records, so they are written as the file that they are.
	w.WriteHeader(&tar.Header{Name: "PaxHeaders.0/x", Typeflag: tar.TypeReg, Size: int64(len(records)), Format: tar.FormatUSTAR})
	w.Write([]byte(records))
	w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 512, Format: tar.FormatUSTAR})
	w.Write(append([]byte("1\n1099511627776\n0\n"), make([]byte, 494)...))
	w.Close()
	data := b.Bytes()
	data[156] = 'x' // the type of an extended header
	sum := 0
	copy(data[148:156], "        ")
	for _, c := range data[:512] {
		sum += int(c)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

// without returns the tar without one member.
func without(t testing.TB, data []byte, name string) []byte {
	t.Helper()
	var files []file
	for _, f := range untar(t, data) {
		if f.name != name {
			files = append(files, f)
		}
	}
	return tarOf(t, files...)
}
