package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// pullEnv makes this test binary a program that pulls: DIR and REFERENCE.
const pullEnv = "CTR_TEST_PULL"

func TestMain(m *testing.M) {
	if dir, ref, ok := strings.Cut(os.Getenv(pullEnv), " "); ok {
		s, err := Open(dir)
		if err == nil {
			_, err = s.Pull(context.Background(), ref, PullOptions{})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// cutWriter ends the connection after so many bytes of an answer.
type cutWriter struct {
	http.ResponseWriter
	left int
	then func()
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	w.left -= n
	if w.left == 0 {
		w.ResponseWriter.(http.Flusher).Flush()
		w.then()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestPullReset has a registry that resets every connection after 10,000 bytes of a layer. With or without ranges, no byte
// that came may come again or be lost.
func TestPullReset(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("app", "latest", random(200_000))
	var cuts, ranges atomic.Int64
	f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, pushed.manifest.Layers[0].Digest.String()) {
			return false
		}
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=") {
			ranges.Add(1)
		}
		f.inner.ServeHTTP(&cutWriter{ResponseWriter: w, left: 10_000, then: func() { cuts.Add(1) }}, r)
		return true
	})
	i := mustPull(t, s, f.ref("app"))
	if got := mustRead(t, s, i.Layers[0]); !bytes.Equal(got, rootfs(t, random(200_000))) {
		t.Error("the layer is not what was pushed")
	}
	if cuts.Load() < 9 || ranges.Load() != cuts.Load() {
		t.Errorf("%d connections were cut and %d continued", cuts.Load(), ranges.Load())
	}
	wantClean(t, s)
}

// TestPullNoRange has a registry that resets once and then starts again from the beginning.
func TestPullNoRange(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("app", "latest", random(200_000))
	var asked atomic.Int64
	f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, pushed.manifest.Layers[0].Digest.String()) {
			return false
		}
		r.Header.Del("Range")
		if asked.Add(1) == 1 {
			w = &cutWriter{ResponseWriter: w, left: 50_000, then: func() {}}
		}
		f.inner.ServeHTTP(w, r)
		return true
	})
	i := mustPull(t, s, f.ref("app"))
	mustRead(t, s, i.Layers[0])
	if asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", asked.Load())
	}
	wantClean(t, s)
}

// TestPullStalePartial finds a partial download that is not the beginning of the blob.
func TestPullStalePartial(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("app", "latest", random(100_000))
	for _, size := range []int{1000, len(pushed.layers[0]), len(pushed.layers[0]) + 1} {
		path := s.path(ingestDir + "/" + digest.FromBytes(pushed.layers[0]).Encoded() + partSuffix)
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		i := mustPull(t, s, f.ref("app"))
		mustRead(t, s, i.Layers[0])
		wantRemoved(t, s, i.ID, true, "untagged "+i.Names[0], "untagged "+i.RepoDigests[0], "deleted "+i.ID, "chain "+i.Layers[0].ChainID)
		wantClean(t, s)
	}
}

// TestPullCancelled stops a pull in the middle: what came is kept, and the next pull goes on from there.
func TestPullCancelled(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("app", "latest", random(200_000))
	ctx, cancel := context.WithCancel(context.Background())
	var offset atomic.Value
	f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, pushed.manifest.Layers[0].Digest.String()) {
			return false
		}
		if offset.Swap(r.Header.Get("Range")) == nil {
			f.inner.ServeHTTP(&cutWriter{ResponseWriter: w, left: 60_000, then: func() {
				waitFor(t, func() bool { return partialSize(s, pushed.manifest.Layers[0].Digest) == 60_000 })
				cancel()
				<-r.Context().Done()
			}}, r)
			return true
		}
		return false
	})
	if _, err := s.Pull(ctx, f.ref("app"), PullOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if _, err := s.Find(f.ref("app")); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	i := mustPull(t, s, f.ref("app"))
	mustRead(t, s, i.Layers[0])
	if got := offset.Load(); got != fmt.Sprintf("bytes=60000-%d", len(pushed.layers[0])-1) {
		t.Errorf("the second pull asked for %q, want what was missing", got)
	}
	wantClean(t, s)
}

func partialSize(s *Store, d digest.Digest) int64 {
	info, err := os.Stat(s.path(ingestDir + "/" + d.Encoded() + partSuffix))
	if err != nil {
		return -1
	}
	return info.Size()
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("waited in vain")
			return
		}
	}
}

// TestPullParallel pulls one image eight times at once: each blob comes over the network once and is stored once.
func TestPullParallel(t *testing.T) {
	f := newRegistry(t)
	pushed := f.pushImage("app", "latest", random(50_000), random(60_000), random(70_000))
	dir := filepath.Join(t.TempDir(), "images")
	f.setSpoil(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") { // so that they do meet
			<-time.After(50 * time.Millisecond)
		}
		return false
	})
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			s, err := Open(dir)
			if err == nil {
				_, err = s.Pull(context.Background(), f.ref("app"), PullOptions{})
			}
			if err != nil {
				t.Errorf("pull %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	for _, l := range pushed.manifest.Layers {
		if n := f.gets["/v2/app/blobs/"+l.Digest.String()]; n != 1 {
			t.Errorf("layer %s was fetched %d times", l.Digest, n)
		}
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range mustFind(t, s, f.ref("app")).Layers {
		mustRead(t, s, l)
	}
	wantClean(t, s)
}

// TestPullKilled kills a pulling process with SIGKILL at fifty points: at requests, in the middle of layers, after the last
// byte. The store is whole every time, and the last pull, which nobody kills, fetches only what is missing.
func TestPullKilled(t *testing.T) {
	f, s := newRegistry(t), testStore(t)
	pushed := f.pushImage("app", "latest", random(300_000), random(200_000))
	total := len(pushed.layers[0]) + len(pushed.layers[1])
	for point := range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		child := exec.CommandContext(ctx, os.Args[0])
		var talk bytes.Buffer
		child.Stderr = &talk
		child.Cancel = func() error { return child.Process.Signal(syscall.SIGQUIT) } // it says where it hangs
		child.Env = append(os.Environ(), pullEnv+"="+s.dir+" "+f.ref("app"))
		var once sync.Once
		started, gone := make(chan struct{}), make(chan struct{})
		kill := func(r *http.Request) {
			<-started
			once.Do(func() { child.Process.Kill() })
			if r != nil {
				<-gone
			}
		}
		var requests, sent atomic.Int64
		f.setSpoil(func(w http.ResponseWriter, r *http.Request) bool {
			if int(requests.Add(1)) == point+1 && point < 5 {
				kill(r)
			}
			if strings.Contains(r.URL.Path, "/blobs/") {
				f.inner.ServeHTTP(&countWriter{ResponseWriter: w, after: func(n int) {
					if now := sent.Add(int64(n)); point >= 5 && point < 45 && now > int64(total*(point-4)/40) {
						kill(r)
					}
				}}, r)
				return true
			}
			return false
		})
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		if point >= 45 {
			time.AfterFunc(time.Duration(point-45)*10*time.Millisecond, func() { kill(nil) })
		}
		child.Wait()
		close(gone)
		if ctx.Err() != nil {
			t.Fatalf("kill %d came too late for a process that hangs: %s", point, &talk)
		}
		cancel()
		if _, err := s.List(); err != nil {
			t.Fatalf("after kill %d: %v", point, err)
		}
		if i, err := s.Find(f.ref("app")); err == nil { // it was done already: all must be there
			for _, l := range i.Layers {
				mustRead(t, s, l)
			}
			if _, err := s.Remove(context.Background(), i.ID, true, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.setSpoil(nil)
	i := mustPull(t, s, f.ref("app"))
	for n, size := range []int{300_000, 200_000} {
		if got := mustRead(t, s, i.Layers[n]); !bytes.Equal(got, rootfs(t, random(size))) {
			t.Errorf("layer %d is not what was pushed", n)
		}
	}
	wantClean(t, s)
}

// countWriter tells how much of an answer was written.
type countWriter struct {
	http.ResponseWriter
	after func(n int)
}

func (w *countWriter) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n, err := w.ResponseWriter.Write(p[:min(len(p), 4096)])
		w.ResponseWriter.(http.Flusher).Flush()
		w.after(n)
		done += n
		if err != nil {
			return done, err
		}
		p = p[n:]
	}
	return done, nil
}
