package keep

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/runtime/attach"
)

// testKeeper returns a keeper and the path of its socket.
func testKeeper(t *testing.T) (*Keeper, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "attach.sock")
	l, err := attach.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	k := New(l)
	t.Cleanup(k.Close)
	return k, path
}

// run starts a shell command as the program that is kept.
func run(t *testing.T, k *Keeper, script string) *Program {
	t.Helper()
	return runProgram(t, k, &Program{StdinOnce: true}, script)
}

func runProgram(t *testing.T, k *Keeper, p *Program, script string) *Program {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	for _, s := range []struct {
		ours   **os.File
		theirs func(*os.File)
		input  bool
	}{
		{&p.Stdin, func(f *os.File) { cmd.Stdin = f }, true},
		{&p.Stdout, func(f *os.File) { cmd.Stdout = f }, false},
		{&p.Stderr, func(f *os.File) { cmd.Stderr = f }, false},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := r, w
		if s.input {
			ours, theirs = w, r
		}
		*s.ours = ours
		s.theirs(theirs)
		defer theirs.Close()
	}
	p.Log.Path = filepath.Join(t.TempDir(), "log")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Init = proc.ID{PID: cmd.Process.Pid} // it may have ended already
	if err := k.Run(p); err != nil {
		t.Fatal(err)
	}
	return p
}

// finish does what a monitor does at the end. It may run beside the test.
func finish(t *testing.T, k *Keeper, p *Program) int {
	t.Helper()
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	code, err := p.Reap()
	if err != nil {
		t.Error(err)
	}
	if err := p.End(); err != nil {
		t.Error(err)
	}
	k.Exit(attach.Result{ExitCode: code})
	return code
}

func attachTo(t *testing.T, path string, s attach.Streams) *attach.Client {
	t.Helper()
	conn, err := attach.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := attach.NewClient(conn, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// waitClients waits until so many are attached.
func waitClients(t *testing.T, k *Keeper, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if len(k.hub.all()) == n {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("%d clients are attached, want %d", len(k.hub.all()), n)
}

// Who comes after the end of a program, to wait for it, is told as well, for as long as the sandbox is kept for others.
func TestWhoComesAfterTheEndIsTold(t *testing.T) {
	k, path := testKeeper(t)
	k.Rest(attach.Result{ExitCode: 7})
	for range 2 {
		result, err := attachTo(t, path, attach.Streams{}).Wait()
		if err != nil || result.ExitCode != 7 {
			t.Errorf("%+v, %v", result, err)
		}
	}
	p := run(t, k, "read x; exit 3")
	c := attachTo(t, path, attach.Streams{Stdin: strings.NewReader("text\n")})
	ended := make(chan int, 1)
	go func() { ended <- finish(t, k, p) }()
	if result, err := c.Wait(); err != nil || result.ExitCode != 3 {
		t.Errorf("of the next program: %+v, %v", result, err)
	}
	if code := <-ended; code != 3 {
		t.Errorf("exit code %d", code)
	}
}

func TestNoByteOfOutputIsLostToASlowReader(t *testing.T) {
	const size = 4 << 20
	k, path := testKeeper(t)
	r, w := io.Pipe()
	c := attachTo(t, path, attach.Streams{Stdout: w})
	waitClients(t, k, 1)
	p := run(t, k, "head -c 4194304 /dev/zero")
	go func() {
		c.Wait()
		w.Close()
	}()
	ended := make(chan int, 1)
	go func() { ended <- finish(t, k, p) }()
	buf, got := make([]byte, 1000), 0 // reads much smaller than what is sent
	for {
		n, err := r.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	if got != size {
		t.Errorf("%d bytes arrived, want %d", got, size)
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAllClientsSeeTheOutput(t *testing.T) {
	k, path := testKeeper(t)
	var outs [3]bytes.Buffer
	var clients [3]*attach.Client
	for i := range clients {
		clients[i] = attachTo(t, path, attach.Streams{Stdout: &outs[i]})
	}
	waitClients(t, k, len(clients))
	finish(t, k, run(t, k, "echo out; echo err >&2; exit 3"))
	for i, c := range clients {
		if r, err := c.Wait(); err != nil || r.ExitCode != 3 {
			t.Errorf("client %d: %+v, %v", i, r, err)
		}
		if outs[i].String() != "out\n" {
			t.Errorf("client %d read %q", i, &outs[i])
		}
	}
}

func TestStdinEndsWithItsFirstClient(t *testing.T) {
	k, path := testKeeper(t)
	var out bytes.Buffer
	c := attachTo(t, path, attach.Streams{Stdin: strings.NewReader("a\nb\n"), Stdout: &out})
	waitClients(t, k, 1)
	p := run(t, k, "cat; echo end")
	go finish(t, k, p)
	if r, err := c.Wait(); err != nil || r.ExitCode != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if out.String() != "a\nb\nend\n" {
		t.Errorf("read %q", &out)
	}
}

func TestDetachedClientLeavesTheProgramAlone(t *testing.T) {
	k, path := testKeeper(t)
	typed, keys := io.Pipe()
	c := attachTo(t, path, attach.Streams{Stdin: typed, Stdout: io.Discard, DetachKeys: []byte{16, 17}})
	waitClients(t, k, 1)
	p := runProgram(t, k, &Program{}, "exec sleep 100")
	go keys.Write([]byte{16, 17})
	if r, err := c.Wait(); err != nil || !r.Detached {
		t.Fatalf("%+v, %v", r, err)
	}
	waitClients(t, k, 0)
	if err := unix.Kill(p.Init.PID, unix.SIGKILL); err != nil { // it is there, since nobody has reaped it
		t.Fatal(err)
	}
	if code := finish(t, k, p); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
}

func TestHolderKeepsTheSandbox(t *testing.T) {
	k, path := testKeeper(t)
	conn, err := attach.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SendJSON(attach.Hello, attach.Request{Version: 1, Hold: true}); err != nil {
		t.Fatal(err)
	}
	waitClients(t, k, 1)
	if !k.Held() {
		t.Error("not held")
	}
	released := k.Released()
	finish(t, k, run(t, k, "true"))
	select {
	case <-released:
		t.Error("released by the end of the program")
	default:
	}
	conn.Close()
	select {
	case <-released:
	case <-time.After(10 * time.Second):
		t.Error("not released when the holder left")
	}
}

func TestOrders(t *testing.T) {
	k, path := testKeeper(t)
	conn, err := attach.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c, err := attach.NewStarter(conn, attach.Streams{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	order := <-k.Orders()
	if !order.Request.Start {
		t.Fatalf("order %+v", order.Request)
	}
	order.Started([]byte("warnings"))
	answer, started, err := c.AwaitStart()
	if err != nil || !started || string(answer) != "warnings" {
		t.Fatalf("answer %q, %v, %v", answer, started, err)
	}
	finish(t, k, run(t, k, "echo again"))
	if _, err := c.Wait(); err != nil || out.String() != "again\n" {
		t.Errorf("read %q, %v", &out, err)
	}
}

// Of two who start a container at the same time the second one is not forgotten until the first one's program has ended, to start
// another one then: it is attached to the same.
func TestSecondStarterJoinsTheFirst(t *testing.T) {
	k, path := testKeeper(t)
	starter := func() (*attach.Client, *bytes.Buffer) {
		conn, err := attach.Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		out := new(bytes.Buffer)
		c, err := attach.NewStarter(conn, attach.Streams{Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		return c, out
	}
	gone, _ := starter()
	waitClients(t, k, 1)
	gone.Close()
	waitClients(t, k, 0)
	first, _ := starter()
	order := <-k.Orders()
	second, early := starter()
	waitClients(t, k, 2)
	p := run(t, k, "read x; echo $x")
	third, late := starter()
	order.Started(nil)
	for _, c := range []*attach.Client{first, second, third} {
		if _, started, err := c.AwaitStart(); err != nil || !started {
			t.Fatalf("answer %v, %v", started, err)
		}
	}
	writer := attachTo(t, path, attach.Streams{Stdin: strings.NewReader("word\n")})
	ended := make(chan int, 1)
	go func() { ended <- finish(t, k, p) }()
	for _, c := range []*attach.Client{writer, first, second, third} {
		if _, err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if <-ended; early.String() != "word\n" || late.String() != "word\n" {
		t.Errorf("read %q, %q", early, late)
	}
	select {
	case order := <-k.Orders():
		t.Errorf("another order: %+v", order.Request)
	default:
	}
}

func TestStrangerIsLetGo(t *testing.T) {
	k, path := testKeeper(t)
	conn, err := attach.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Send(attach.Stdout, []byte("not hello"))
	if _, _, err := conn.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("Receive = %v, want EOF", err)
	}
	if len(k.hub.all()) != 0 {
		t.Error("a stranger is attached")
	}
}

func TestSuspendedKeeperLosesNothing(t *testing.T) {
	k, path := testKeeper(t)
	p := runProgram(t, k, &Program{}, "i=0; while [ $i -lt 2000 ]; do printf 'line '; echo $i; i=$((i+1)); done; sleep 0.05; echo end")
	suspended := 0
	for range 20 {
		state, ok := k.Suspend(true)
		if !ok {
			t.Fatal("not suspended although nobody is attached")
		}
		if state.Program.Init != p.Init || state.Listener < 0 || state.Program.Stdout < 0 {
			t.Fatalf("state %+v", state)
		}
		suspended++
		if err := k.Continue(); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	c := attachTo(t, path, attach.Streams{Stdout: &out})
	waitClients(t, k, 1)
	if _, ok := k.Suspend(true); ok {
		t.Error("suspended although somebody is attached")
	}
	// The keeper waits for who is attached and does not read.
	left := make(chan error, 1)
	go func() {
		_, err := c.Wait()
		left <- err
	}()
	finish(t, k, p)
	if err := <-left; err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(p.Log.Path)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(text, []byte(`{"log":"line `)); got != 2000 || bytes.Count(text, []byte("\n")) != 2001 {
		t.Errorf("the log has %d whole lines among %d, want 2000 and the end", got, bytes.Count(text, []byte("\n")))
	}
}
