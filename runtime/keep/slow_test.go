package keep

import (
	"bytes"
	"testing"
	"time"

	"ctr/runtime/attach"
)

// A client that takes nothing is let go after a while, and the program goes on; others miss nothing of its output.
func TestStoppedReader(t *testing.T) {
	patience := sendPatience
	sendPatience = 300 * time.Millisecond
	defer func() { sendPatience = patience }()
	k, path := testKeeper(t)
	stopped, err := attach.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped.Close()
	if err := stopped.SendJSON(attach.Hello, attach.Request{Version: attach.Version, Stdout: true}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	other := attachTo(t, path, attach.Streams{Stdout: &out})
	waitClients(t, k, 2)
	p := run(t, k, "head -c 3000000 /dev/zero; exit 3")
	go finish(t, k, p)
	result, err := other.Wait()
	if err != nil || result.ExitCode != 3 || out.Len() != 3000000 {
		t.Errorf("%+v, %v, %d bytes", result, err, out.Len())
	}
	// What had been sent before is there, and then the end.
	got := 0
	for {
		kind, payload, err := stopped.Receive()
		if err != nil {
			break
		}
		if kind != attach.Stdout {
			t.Errorf("got frame %q", kind)
		}
		got += len(payload)
	}
	if got == 0 || got >= 3000000 {
		t.Errorf("the stopped client got %d bytes", got)
	}
}

// A slow client gets all, though it takes much longer than one may be silent.
func TestSlowReader(t *testing.T) {
	patience := sendPatience
	sendPatience = time.Second
	defer func() { sendPatience = patience }()
	k, path := testKeeper(t)
	const size = 20 << 20
	slow := &slowWriter{every: size / 20, pause: 150 * time.Millisecond}
	c := attachTo(t, path, attach.Streams{Stdout: slow})
	waitClients(t, k, 1)
	p := run(t, k, "yes 0123456789 | head -c 20971520")
	go finish(t, k, p)
	begin := time.Now()
	result, err := c.Wait()
	if err != nil || result.ExitCode != 0 || slow.total != size || slow.wrong {
		t.Errorf("%+v, %v, %d bytes, wrong: %v", result, err, slow.total, slow.wrong)
	}
	if took := time.Since(begin); took < 2*sendPatience {
		t.Errorf("it was not slow: %v", took)
	}
}

// slowWriter pauses every so many bytes, and looks whether they are those of yes(1).
type slowWriter struct {
	every int
	pause time.Duration
	total int
	wrong bool
}

func (w *slowWriter) Write(p []byte) (int, error) {
	for i, b := range p {
		w.wrong = w.wrong || b != "0123456789\n"[(w.total+i)%11]
	}
	if w.total/w.every != (w.total+len(p))/w.every {
		time.Sleep(w.pause)
	}
	w.total += len(p)
	return len(p), nil
}
