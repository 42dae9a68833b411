package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

func TestImport(t *testing.T) {
	plain := rootfs(t, "hi")
	for name, data := range map[string][]byte{
		"none": plain, "gzip": gzipOf(t, plain), "zstd": zstdOf(t, plain),
		"two gzip members": append(gzipOf(t, plain[:700]), gzipOf(t, plain[700:])...),
		"two zstd frames":  append(zstdOf(t, plain[:700]), zstdOf(t, plain[700:])...),
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			i := mustImport(t, s, "hello", data)
			if got := mustRead(t, s, i.Layers[0]); !bytes.Equal(got, plain) {
				t.Errorf("layer of %d bytes, want the %d that went in", len(got), len(plain))
			}
			if want := digest.FromBytes(plain).String(); i.Layers[0].DiffID != want || i.Layers[0].ChainID != want {
				t.Errorf("DiffID %s, chain ID %s, want %s", i.Layers[0].DiffID, i.Layers[0].ChainID, want)
			}
			wantNames(t, s, i.ID, "hello:latest")
			wantClean(t, s)
		})
	}
}

// TestImportTools reads what the bzip2 and xz tools made of a tar that holds one empty file "x".
func TestImportTools(t *testing.T) {
	for name, data := range map[string]string{"bzip2": emptyFileBzip2, "xz": emptyFileXz} {
		t.Run(name, func(t *testing.T) {
			packed, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Fatal(err)
			}
			s := testStore(t)
			i := mustImport(t, s, "", packed)
			plain := mustRead(t, s, i.Layers[0])
			if len(plain) != 10240 || plain[0] != 'x' || i.Layers[0].Size != 10240 {
				t.Errorf("layer of %d bytes, blob of %d, want the tar of 10240", len(plain), i.Layers[0].Size)
			}
			wantClean(t, s)
		})
	}
}

func TestImportBroken(t *testing.T) {
	plain := tarOf(t, file{name: "hello", body: strings.Repeat("hello ", 5000)})
	packed := gzipOf(t, plain)
	flipped := slices.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // its checksum
	for name, data := range map[string][]byte{
		"empty":            nil,
		"text":             []byte(strings.Repeat("<html>not found</html>\n", 100)),
		"cut":              plain[:len(plain)/2],
		"cut gzip":         packed[:len(packed)/2],
		"cut zstd":         zstdOf(t, plain)[:20],
		"wrong checksum":   flipped,
		"junk after gzip":  append(slices.Clone(packed), "junk"...),
		"gzip of nothing":  gzipOf(t, []byte("no tar")),
		"zstd of 2^50 win": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			_, err := s.Import(context.Background(), bytes.NewReader(data), "x", ImportOptions{})
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "import: ") {
				t.Errorf("error %q is not one clear line", err)
			}
			wantClean(t, s)
		})
	}
}

func TestImportInterrupted(t *testing.T) {
	s := testStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	go func() {
		pw.Write(rootfs(t, "hi")[:600])
		cancel()
		pw.Write(make([]byte, 512))
		pw.Close()
	}()
	if _, err := s.Import(ctx, pr, "x", ImportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	pr.Close()
	wantClean(t, s)
}

func TestImportChanges(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "x", rootfs(t, "hi"),
		`ENV A=1 B="two words" C=x\ y`, "ENV A 3 4", `CMD ["echo", "hi"]`, "ENTRYPOINT exec top", "WORKDIR /srv", "WORKDIR www",
		"USER daemon:bin", "EXPOSE 80 53/UDP 100-102", "LABEL a=b c='d e'", `VOLUME ["/data"]`, "VOLUME /a /b", "STOPSIGNAL SIGINT",
		"healthcheck --interval=5s --retries=2 CMD curl -f localhost", "ONBUILD RUN x")
	c := i.Config.Config
	for _, check := range []struct{ got, want []string }{
		{c.Env, []string{"A=3 4", "B=two words", "C=x y"}},
		{c.Cmd, []string{"echo", "hi"}},
		{c.Entrypoint, []string{"/bin/sh", "-c", "exec top"}},
		{[]string{c.WorkingDir, c.User, c.StopSignal}, []string{"/srv/www", "daemon:bin", "SIGINT"}},
		{sortedKeys(c.ExposedPorts), []string{"100/tcp", "101/tcp", "102/tcp", "53/udp", "80/tcp"}},
		{sortedKeys(c.Volumes), []string{"/a", "/b", "/data"}},
		{[]string{c.Labels["a"], c.Labels["c"]}, []string{"b", "d e"}},
		{c.Healthcheck.Test, []string{"CMD-SHELL", "curl -f localhost"}},
		{c.OnBuild, []string{"RUN x"}},
	} {
		if !slices.Equal(check.got, check.want) {
			t.Errorf("got %q, want %q", check.got, check.want)
		}
	}
	if c.Healthcheck.Interval != 5*time.Second || c.Healthcheck.Retries != 2 {
		t.Errorf("healthcheck %+v", c.Healthcheck)
	}
}

func sortedKeys(m map[string]struct{}) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestImportBadOptions(t *testing.T) {
	s := testStore(t)
	for _, o := range []ImportOptions{
		{Changes: []string{"FROM x"}},
		{Changes: []string{"CMD"}},
		{Changes: []string{""}},
		{Changes: []string{"EXPOSE 0"}},
		{Changes: []string{"EXPOSE 70000"}},
		{Changes: []string{"EXPOSE 80/xyz"}},
		{Changes: []string{`ENV A="1`}},
		{Changes: []string{"ENV =1"}},
		{Changes: []string{"HEALTHCHECK --bogus CMD x"}},
		{Changes: []string{"HEALTHCHECK MAYBE"}},
		{Changes: []string{"ENV A=1\nUSER root"}},
		{Platform: "windows/amd64"},
		{Platform: "a/b/c/d"},
		{Platform: "li nux"},
	} {
		r := &neverRead{t: t}
		if _, err := s.Import(context.Background(), r, "x", o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	wantClean(t, s)
}

// neverRead is an input that nobody may read before the options are checked.
type neverRead struct{ t *testing.T }

func (r *neverRead) Read([]byte) (int, error) {
	r.t.Error("input was read before the options were checked")
	return 0, io.EOF
}

// TestBomb feeds zeros that grow a thousand-fold: the store must refuse them at a bound, not at a full disk.
func TestBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses gigabytes")
	}
	s := testStore(t)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for range 2048 {
		w.Write(zeros)
	}
	w.Close()
	d := digest.FromBytes(packed.Bytes())
	if err := os.WriteFile(s.blobPath(d.String()), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenLayer(context.Background(), Layer{Digest: d.String(), DiffID: someDigest})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "grow") || n > 2*freeGrowth-1 {
		t.Errorf("%d bytes, then %v; want an end soon after %d", n, err, freeGrowth)
	}
}

func TestOpenLayerDamaged(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "x", gzipOf(t, rootfs(t, "hi")))
	l := i.Layers[0]
	wrong := l
	wrong.DiffID = "sha256:" + strings.Repeat("0", 64)
	r, err := s.OpenLayer(context.Background(), wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
	r.Close()
	for _, bad := range []Layer{{}, {Digest: "sha256:../../x", DiffID: l.DiffID}, {Digest: l.Digest, DiffID: "x"}} {
		if _, err := s.OpenLayer(context.Background(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: error %v, want ErrInvalid", bad, err)
		}
	}
	var h [sha256.Size]byte
	if _, err := s.OpenLayer(context.Background(), Layer{Digest: digest.NewDigestFromBytes(digest.SHA256, h[:]).String(), DiffID: l.DiffID}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that there is no such file", err)
	}
}

const (
	emptyFileBzip2 = "QlpoOTFBWSZTWc8u7ZsAAHL7gMiAAEBAAEeAAADgAJ5AAgggAFQ0h6gANNAippD1HqAB15PwoXwREqpMycSrKhAWjuIurxdInnRc8wF6BQp4xDN6SIgHxdyRThQkM8u7ZsA="
	emptyFileXz    = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AFRdADwAM1AYaImDAdzibjQK49Lzt3T/H4lliZDp20SC/tXMWmUpmUtRxiTe0EaA3BBsU+g1S1vALZnSvmlrZ4++Eh6gqXkvA/ElUzVgY9W/sjtJizXVAAALWAxBzLI+IwABcIBQAAAALGacsrHEZ/sCAAAAAARZWg=="
)
