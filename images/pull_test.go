package images

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// fakeRegistry is a registry in this process, whose answers a test may spoil.
type fakeRegistry struct {
	t      testing.TB
	server *httptest.Server
	inner  http.Handler
	mu     sync.Mutex
	spoil  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	gets   map[string]int                                    // how often each path was asked for

	platform *v1.Platform // of the images that are pushed; nil: this machine's
}

func newRegistry(t testing.TB) *fakeRegistry {
	t.Helper()
	// The user's own credentials must not take part.
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("REGISTRY_AUTH_FILE", "")
	f := &fakeRegistry{t: t, inner: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))), gets: make(map[string]int)}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	spoil := f.spoil
	if r.Method == http.MethodGet {
		f.gets[r.URL.Path]++
	}
	f.mu.Unlock()
	if spoil == nil || !spoil(w, r) {
		f.inner.ServeHTTP(w, r)
	}
}

func (f *fakeRegistry) host() string { return strings.TrimPrefix(f.server.URL, "http://") }

func (f *fakeRegistry) ref(name string) string { return f.host() + "/" + name }

// push sends a body to the registry behind the one that may be spoilt.
func (f *fakeRegistry) push(method, path, mediaType string, body []byte) {
	f.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	f.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		f.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

func (f *fakeRegistry) pushBlob(repo string, data []byte) {
	f.t.Helper()
	f.push(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromBytes(data).String(), "application/octet-stream", data)
}

func (f *fakeRegistry) pushManifest(repo, tag string, v any, mediaType string) v1.Descriptor {
	f.t.Helper()
	data := mustJSON(f.t, v)
	f.push(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, mediaType, data)
	return descriptor(mediaType, data)
}

// image is an image as a registry has it.
type image struct {
	layers   [][]byte // compressed
	config   []byte
	manifest v1.Manifest
	desc     v1.Descriptor
}

// pushImage makes an image of layers that hold these bodies.
func (f *fakeRegistry) pushImage(repo, tag string, bodies ...string) image {
	f.t.Helper()
	var i image
	var plain [][]byte
	for _, b := range bodies {
		plain = append(plain, rootfs(f.t, b))
		i.layers = append(i.layers, gzipOf(f.t, rootfs(f.t, b)))
		f.pushBlob(repo, i.layers[len(i.layers)-1])
		i.manifest.Layers = append(i.manifest.Layers, descriptor(v1.MediaTypeImageLayerGzip, i.layers[len(i.layers)-1]))
	}
	i.config = configFor(f.t, plain...)
	if f.platform != nil {
		var c Config
		if err := json.Unmarshal(i.config, &c); err != nil {
			f.t.Fatal(err)
		}
		c.Platform = *f.platform
		i.config = mustJSON(f.t, c)
	}
	f.pushBlob(repo, i.config)
	i.manifest.SchemaVersion, i.manifest.MediaType = 2, v1.MediaTypeImageManifest
	i.manifest.Config = descriptor(v1.MediaTypeImageConfig, i.config)
	i.desc = f.pushManifest(repo, tag, i.manifest, v1.MediaTypeImageManifest)
	return i
}

func mustPull(t testing.TB, s *Store, ref string) Image {
	t.Helper()
	i, err := s.Pull(context.Background(), ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// random is text that does not compress.
func random(n int) string {
	var b strings.Builder
	for h := digest.FromString("seed"); b.Len() < n; h = digest.FromString(h.String()) {
		b.WriteString(h.Encoded())
	}
	return b.String()[:n]
}

func TestPull(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("me/app", "1", "one", "two", "two")
	var events []string
	i, err := s.Pull(context.Background(), f.ref("me/app:1"), PullOptions{Progress: func(e Event) { events = append(events, e.Status) }})
	if err != nil {
		t.Fatal(err)
	}
	if i.ID != digest.FromBytes(pushed.config).String() || i.Digest != pushed.desc.Digest.String() || len(i.Layers) != 3 {
		t.Errorf("pulled %+v", i)
	}
	for n, body := range []string{"one", "two", "two"} {
		if got := mustRead(t, s, i.Layers[n]); !bytes.Equal(got, rootfs(t, body)) {
			t.Errorf("layer %d is not %q", n, body)
		}
	}
	wantNames(t, s, i.ID, f.ref("me/app:1"))
	canonical := f.ref("me/app@" + pushed.desc.Digest.String())
	if !slices.Equal(i.RepoDigests, []string{canonical}) || mustFind(t, s, canonical).ID != i.ID {
		t.Errorf("digests %q, want %q", i.RepoDigests, canonical)
	}
	for _, want := range []string{
		"1: Pulling from me/app", "Pulling fs layer", "Pull complete", "Digest: " + pushed.desc.Digest.String(),
		"Status: Downloaded newer image for " + f.ref("me/app:1"),
	} {
		if !slices.Contains(events, want) {
			t.Errorf("no event %q in %q", want, events)
		}
	}
	wantClean(t, s)
	events = nil
	if _, err := s.Pull(context.Background(), f.ref("me/app:1"), PullOptions{Progress: func(e Event) { events = append(events, e.Status) }}); err != nil {
		t.Fatal(err)
	}
	if last := events[len(events)-1]; last != "Status: Image is up to date for "+f.ref("me/app:1") {
		t.Errorf("second pull ends with %q", last)
	}
	for path, n := range f.gets {
		if strings.Contains(path, "/blobs/") && !strings.Contains(path, digest.FromBytes(pushed.config).Encoded()) && n > 1 {
			t.Errorf("%s was fetched %d times", path, n)
		}
	}
}

// TestPullMoved pulls a tag that moved: the old image stays, without the name.
func TestPullMoved(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	f.pushImage("app", "latest", "one")
	old := mustPull(t, s, f.ref("app"))
	f.pushImage("app", "latest", "two")
	now := mustPull(t, s, f.ref("app"))
	if old.ID == now.ID {
		t.Fatal("the tag did not move")
	}
	wantNames(t, s, old.ID)
	wantNames(t, s, now.ID, f.ref("app:latest"))
	wantRemoved(t, s, f.ref("app"), false, "untagged "+f.ref("app:latest"), "untagged "+now.RepoDigests[0], "deleted "+now.ID, "chain "+now.Layers[0].ChainID)
	wantClean(t, s)
}

func TestPullDigest(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("app", "latest", "one")
	ref := f.ref("app@" + pushed.desc.Digest.String())
	i := mustPull(t, s, ref)
	wantNames(t, s, ref)
	if !slices.Equal(i.RepoDigests, []string{ref}) {
		t.Errorf("digests %q, want %q", i.RepoDigests, ref)
	}
	f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			io.WriteString(w, `{"schemaVersion":2}`)
			return true
		}
		return false
	})
	if _, err := testStore(t).Pull(context.Background(), ref, PullOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

func (f *fakeRegistry) setSpoil(spoil func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoil = spoil
}

func TestPullPlatform(t *testing.T) {
	f := newRegistry(t)
	var index v1.Index
	index.SchemaVersion, index.MediaType = 2, v1.MediaTypeImageIndex
	ids := make(map[string]string)
	for _, p := range []string{"unknown/unknown", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64", "linux/386"} {
		parts := append(strings.Split(p, "/"), "")
		f.platform = &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
		i := f.pushImage("multi", strings.ReplaceAll(p, "/", "-"), p)
		i.desc.Platform = f.platform
		index.Manifests = append(index.Manifests, i.desc)
		ids[p] = i.desc.Digest.String()
	}
	f.pushManifest("multi", "latest", index, v1.MediaTypeImageIndex)
	for ask, want := range map[string]string{
		"": "linux/amd64", "linux/amd64": "linux/amd64", "x86_64": "linux/amd64", "linux/arm64": "linux/arm64/v8", "arm64": "linux/arm64/v8",
		"linux/arm": "linux/arm/v7", "linux/arm/v6": "linux/arm/v6", "linux/arm/v5": "", "linux/386": "linux/386", "linux/s390x": "",
	} {
		s := testStore(t)
		if ask == "" && hostPlatform().Architecture != "amd64" {
			continue
		}
		i, err := s.Pull(context.Background(), f.ref("multi"), PullOptions{Platform: ask})
		if want == "" {
			if !errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), ask) {
				t.Errorf("%s: error %v, want ErrPlatform", ask, err)
			}
			continue
		}
		if err != nil || i.Digest != ids[want] {
			t.Errorf("%s: pulled %s of %s, %v; want %s", ask, i.Digest, i.Platform, err, want)
		}
	}
	f.pushImage("single", "latest", "x")
	if _, err := testStore(t).Pull(context.Background(), f.ref("single"), PullOptions{Platform: "s390x"}); !errors.Is(err, ErrPlatform) {
		t.Errorf("error %v, want ErrPlatform", err)
	}
}

func TestPullErrors(t *testing.T) {
	f := newRegistry(t)
	f.pushImage("app", "latest", "one")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for ref, want := range map[string]string{
		f.ref("nope"):                   "pull access denied for " + f.ref("nope") + ", repository does not exist or may require authorization",
		f.ref("app:nope"):               "no such image: manifest for " + f.ref("app:nope") + " not found: manifest unknown",
		closed.Addr().String() + "/app": "pull " + closed.Addr().String() + "/app:latest: registry " + closed.Addr().String() + " cannot be reached: ",
		"registry.invalid/app":          "pull registry.invalid/app:latest: registry registry.invalid cannot be reached: lookup registry.invalid",
		"Bad":                           "invalid reference format: repository name (library/Bad) must be lowercase",
		"app@sha256:" + someDigest[:20]: "invalid reference format: ",
	} {
		s := testStore(t)
		_, err := s.Pull(context.Background(), ref, PullOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", ref, err, want)
		}
		wantClean(t, s)
	}
}

// TestPullHint tells a user who was refused where credentials come from.
func TestPullHint(t *testing.T) {
	f := newRegistry(t)
	_, err := testStore(t).Pull(context.Background(), f.ref("nope"), PullOptions{})
	var hint interface{ Hint() string }
	if !errors.Is(err, ErrDenied) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "config.json") {
		t.Errorf("error %v without a hint, want ErrDenied with one", err)
	}
}

func TestPullStatus(t *testing.T) {
	f := newRegistry(t)
	for status, want := range map[int]string{401: "access denied", 403: "access denied", 404: "access denied", 400: "status 400 Bad Request", 503: "status 503 Service Unavailable"} {
		f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" {
				return false
			}
			if status == 404 {
				w.WriteHeader(status)
				io.WriteString(w, `{"errors":[{"code":"NAME_UNKNOWN","message":"x"}]}`)
				return true
			}
			w.WriteHeader(status)
			return true
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if _, err := testStore(t).Pull(ctx, f.ref("app"), PullOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("status %d: error %v, want %q", status, err, want)
		}
		cancel()
	}
}

// TestPullHostile has a registry send what it should not: each is refused, and nothing stays.
func TestPullHostile(t *testing.T) {
	f := newRegistry(t)
	good := f.pushImage("app", "latest", random(100_000))
	manifest := func(edit func(*v1.Manifest)) string {
		m := good.manifest
		m.Layers = slices.Clone(m.Layers)
		edit(&m)
		return string(mustJSON(t, m))
	}
	both := strings.Replace(manifest(func(*v1.Manifest) {}), "{", `{"manifests":[],`, 1)
	for name, body := range map[string]string{
		"both":            both,
		"neither":         `{"schemaVersion":2}`,
		"no JSON":         "<html>",
		"array":           "[]",
		"null":            "null",
		"schema 1":        `{"schemaVersion":1,"fsLayers":[]}`,
		"claims an index": manifest(func(m *v1.Manifest) { m.MediaType = v1.MediaTypeImageIndex }),
		"many elements":   `{"schemaVersion":2,"config":{},"layers":[` + strings.Repeat("{},", maxElements) + "{}]}",
		"deep":            strings.Repeat(`{"config":`, 20_000),
		"path as digest":  manifest(func(m *v1.Manifest) { m.Layers[0].Digest = "sha256:../../../../etc/passwd" }),
		"short digest":    manifest(func(m *v1.Manifest) { m.Config.Digest = "sha256:abc" }),
		"upper case":      manifest(func(m *v1.Manifest) { m.Config.Digest = digest.Digest("sha256:" + strings.ToUpper(someDigest[7:])) }),
		"empty digest":    manifest(func(m *v1.Manifest) { m.Layers[0].Digest = "" }),
		"negative size":   manifest(func(m *v1.Manifest) { m.Layers[0].Size = -1 }),
		"smaller size":    manifest(func(m *v1.Manifest) { m.Layers[0].Size = 50_000 }),
		"foreign layer": manifest(func(m *v1.Manifest) {
			m.Layers[0].MediaType, m.Layers[0].URLs = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", []string{f.server.URL + "/evil"}
		}),
		"huge config":     manifest(func(m *v1.Manifest) { m.Config.Size = 1 << 40 }),
		"artifact":        manifest(func(m *v1.Manifest) { m.Config.MediaType = v1.MediaTypeEmptyJSON }),
		"layer as config": manifest(func(m *v1.Manifest) { m.Config.Digest, m.Config.Size = m.Layers[0].Digest, m.Layers[0].Size }),
		"one layer more":  manifest(func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }),
		"too many layers": manifest(func(m *v1.Manifest) { m.Layers = slices.Repeat(m.Layers, maxLayers+1) }),
		"a huge document": `{"schemaVersion":2,"x":"` + strings.Repeat("x", maxDocument) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/manifests/") {
					w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
					io.WriteString(w, body)
					return true
				}
				return false
			})
			s := testStore(t)
			_, err := s.Pull(context.Background(), f.ref("app"), PullOptions{})
			if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
				t.Errorf("error %.500v, want one line about ErrInvalid", err)
			}
			wantClean(t, s)
			if f.gets["/evil"] > 0 {
				t.Error("a foreign layer's URL was asked for")
			}
		})
	}
}

// TestPullWrongBytes has a registry send other bytes than the digest says.
func TestPullWrongBytes(t *testing.T) {
	f := newRegistry(t)
	good := f.pushImage("app", "latest", random(100_000))
	size := len(good.layers[0])
	for name, body := range map[string][]byte{
		"other": bytes.Repeat([]byte("x"), size), "longer": append(slices.Clone(good.layers[0]), 'x'), "endless": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, digest.FromBytes(good.layers[0]).String()) {
					return false
				}
				for body == nil { // until the client goes
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return true
					}
				}
				w.Write(body)
				return true
			})
			s := testStore(t)
			if _, err := s.Pull(context.Background(), f.ref("app"), PullOptions{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v, want ErrInvalid", err)
			}
			wantClean(t, s)
		})
	}
}

// TestPullSlow has a registry that keeps the connection open and sends a byte now and then, or nothing.
func TestPullSlow(t *testing.T) {
	f := newRegistry(t)
	f.pushImage("app", "latest", random(100_000))
	for _, what := range []string{"/v2/", "/manifests/", "/blobs/"} {
		t.Run(what, func(t *testing.T) {
			f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, what) || what == "/v2/" && r.URL.Path != what {
					return false
				}
				w.WriteHeader(http.StatusOK)
				for r.Context().Err() == nil {
					if _, err := w.Write([]byte(" ")); err != nil {
						return true
					}
					w.(http.Flusher).Flush()
					<-time.After(10 * time.Millisecond)
				}
				return true
			})
			s := testStore(t)
			s.stall = 50 * time.Millisecond
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_, err := s.Pull(ctx, f.ref("app"), PullOptions{})
			if err == nil || ctx.Err() != nil {
				t.Errorf("error %v, want one before the test's own patience ends", err)
			}
		})
	}
}

// authRegistry asks for a token, from the realm, for everything.
func authRegistry(f *fakeRegistry, realm string) {
	f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			io.WriteString(w, `{"token":"good"}`)
			return true
		}
		if r.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="fake"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

func login(t testing.TB, host string) {
	t.Helper()
	dir := filepath.Join(os.Getenv("HOME"), ".docker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	t.Setenv("DOCKER_CONFIG", dir) // docker/cli looks at HOME only once in a process
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, auth)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPullAuth(t *testing.T) {
	f := newRegistry(t)
	f.pushImage("app", "latest", "one")
	authRegistry(f, f.server.URL)
	if _, err := testStore(t).Pull(context.Background(), f.ref("app"), PullOptions{}); !errors.Is(err, ErrDenied) {
		t.Errorf("without credentials: error %v, want ErrDenied", err)
	}
	login(t, f.host())
	mustPull(t, testStore(t), f.ref("app"))
}

// thief is another host, which writes down what comes with a request.
func thief(t testing.TB) (url string, stolen func() (got []string, asked int)) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		asked++
		if h := r.Header.Get("Authorization"); h != "" {
			got = append(got, h)
		}
		if len(body) > 0 {
			got = append(got, string(body))
		}
		io.WriteString(w, `{"token":"good"}`)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1), func() ([]string, int) {
		mu.Lock()
		defer mu.Unlock()
		return got, asked
	}
}

// TestPullThief has a registry that names another host as its realm, or redirects there.
func TestPullThief(t *testing.T) {
	f := newRegistry(t)
	f.pushImage("app", "latest", random(5000))
	login(t, f.host())
	t.Run("realm", func(t *testing.T) {
		url, stolen := thief(t)
		authRegistry(f, url)
		if _, err := testStore(t).Pull(context.Background(), f.ref("app"), PullOptions{}); !errors.Is(err, errRefused) {
			t.Errorf("error %v, want that the credentials were refused", err)
		}
		if got, asked := stolen(); len(got) > 0 || asked > 0 {
			t.Errorf("the other host was asked %d times and got %q", asked, got)
		}
	})
	for _, what := range []string{"/blobs/", "/manifests/"} {
		t.Run(what, func(t *testing.T) {
			url, stolen := thief(t)
			authRegistry(f, f.server.URL)
			ask := f.spoil
			f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, what) && r.Header.Get("Authorization") != "" {
					http.Redirect(w, r, url+r.URL.Path, http.StatusTemporaryRedirect)
					return true
				}
				return ask(w, r)
			})
			if _, err := testStore(t).Pull(context.Background(), f.ref("app"), PullOptions{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v, want ErrInvalid", err)
			}
			if got, asked := stolen(); len(got) > 0 || asked == 0 {
				t.Errorf("the other host was asked %d times and got %q", asked, got)
			}
		})
	}
}

func TestGuard(t *testing.T) {
	for _, test := range []struct {
		registry, url string
		secret, ok    bool
	}{
		{"docker.io", "https://auth.docker.io/token", true, true},
		{"registry.gitlab.com", "https://gitlab.com/jwt/auth", true, true},
		{"registry.example.co.uk:5000", "https://auth.example.co.uk:5001/token", true, true},
		{"registry.example.co.uk", "https://evil.co.uk/token", true, false},
		{"registry.example.com", "https://evil.com/token", true, false},
		{"registry.example.com", "https://elsewhere.com/token", false, true},
		{"registry.example.com", "http://registry.example.com/token", false, false},
		{"registry.example.com", "http://127.0.0.1/token", false, false},
		{"10.0.0.1:5000", "http://10.0.0.1:5000/v2/", false, false},
		{"10.0.0.1", "https://10.0.0.2/token", true, false},
		{"127.0.0.1:5000", "http://127.0.0.1:5000/v2/", true, true},
		{"[::1]:5000", "http://[::1]:5000/v2/", true, true},
		{"localhost:5000", "http://localhost:5000/v2/", true, true},
		{"a.blogspot.com", "https://b.blogspot.com/token", true, false},
	} {
		passed := false
		g := &guard{host: test.registry, secret: test.secret, inner: roundTrip(func(*http.Request) (*http.Response, error) {
			passed = true
			return nil, io.EOF
		})}
		r := httptest.NewRequest(http.MethodGet, test.url, nil)
		r.Header.Set("Authorization", "Basic c2VjcmV0")
		if _, err := g.RoundTrip(r); passed != test.ok {
			t.Errorf("%s to %s: %v, want it to pass: %t", test.registry, test.url, err, test.ok)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
