package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// A container that prints without end, with a reader of its log that was stopped and others that come and go: its log stays
// within its limit, its monitor small, and others are served.
func TestC6Flood(t *testing.T) {
	faults(t, func(v *victims) {
		const (
			files = 3
			limit = files<<20 + 64<<10 // a file may end with the line that fills it
			small = 48 << 20           // of memory: what a monitor has while it is young, and room
		)
		amount, visits := int64(150e6), 20
		if allFaults() {
			amount, visits = 10e9, 10_000
		}
		id := v.must("run", "-d", "--name", "c1", "--network", "net", "--log-opt", "max-size=1m", "--log-opt", fmt.Sprint("max-file=", files),
			"busybox", "sh", "-c", fmt.Sprintf("yes 0123456789012345678901234567890123456789 | head -c %d; echo; echo the end", amount))
		dead := v.command("logs", "-f", "c1")
		if err := dead.Start(); err != nil {
			v.Fatal(err)
		}
		if err := dead.Process.Signal(syscall.SIGSTOP); err != nil {
			v.Fatal(err)
		}
		var ended atomic.Bool
		var largest, fattest int64
		var looking, visiting sync.WaitGroup
		looking.Go(func() {
			for ; !ended.Load(); time.Sleep(5 * time.Millisecond) {
				largest = max(largest, v.logSize(id))
				fattest = max(fattest, residentOf(id))
			}
		})
		visiting.Go(func() {
			for i := 0; i < visits && !ended.Load(); i++ {
				v.end(v.wrapped([]string{"timeout", "-s", "KILL", fmt.Sprintf("0.%03d", 20+i%50)}, "attach", "--no-stdin", "c1"))
				if o := v.try("ps", "-q"); o.code != 0 || o.took > patience {
					v.Errorf("ps beside the flood: %+v", o)
				}
			}
		})
		if got := v.must("wait", "c1"); got != "0" {
			v.Errorf("exit code %s", got)
		}
		ended.Store(true)
		visiting.Wait()
		looking.Wait()
		_ = dead.Process.Kill() // it is there: it was stopped
		_ = dead.Wait()
		v.Logf("log of %d bytes at most, monitor of %d", largest, fattest)
		if largest == 0 || largest > limit {
			v.Errorf("the log had %d bytes, of %d", largest, limit)
		}
		if fattest == 0 || fattest > small {
			v.Errorf("the monitor had %d bytes, of %d", fattest, small)
		}
		if got := v.must("logs", "--tail", "1", "c1"); got != "the end" {
			v.Errorf("last line %q", got)
		}
		v.heal("c1")
	})
}

// logSize is what all files of a container's log have.
func (v *victims) logSize(id string) (sum int64) {
	names, _ := filepath.Glob(filepath.Join(v.h.Root, "containers", id, id+"-json.log*"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil { // else it was rotated meanwhile
			sum += info.Size()
		}
	}
	return sum
}

// residentOf is the memory of a container's monitor that is nobody else's and in no file.
func residentOf(id string) int64 {
	monitor, err := monitorOf(id)
	if err != nil {
		return 0
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", monitor.PID)) // empty: it has ended
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// A terminal that prints without end is attached to, resized again and again, and detached from: the program goes on, and sees
// the last size.
func TestC6ResizeStorm(t *testing.T) {
	faults(t, func(v *victims) {
		visits, sizes := 4, 200
		if allFaults() {
			visits, sizes = 200, 1000
		}
		v.must("run", "-dit", "--name", "c1", "--network", "net", "busybox", "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxx; done")
		for range visits {
			cmd := v.command("attach", "c1")
			terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
			if err != nil {
				v.Fatal(err)
			}
			flowing := make(chan struct{})
			go func() {
				_, _ = io.ReadFull(terminal, make([]byte, 10_000))
				close(flowing)
				_, _ = io.Copy(io.Discard, terminal) // it ends with the command
			}()
			<-flowing
			for i := range sizes {
				if err := pty.Setsize(terminal, &pty.Winsize{Rows: uint16(10 + i%50), Cols: uint16(100 + i)}); err != nil {
					v.Fatal(err)
				}
			}
			want := fmt.Sprintf("%d %d", 10+(sizes-1)%50, 100+sizes-1)
			v.await("the last size", func() bool { return v.must("exec", "c1", "sh", "-c", "stty size </proc/1/fd/0") == want })
			if _, err := terminal.WriteString("\x10\x11"); err != nil {
				v.Fatal(err)
			}
			killed := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			if err := cmd.Wait(); err != nil || !killed.Stop() {
				v.Errorf("detach: %v", err)
			}
			terminal.Close()
		}
		if got := v.must("inspect", "--format", "{{.State.Status}}", "c1"); got != "running" {
			v.Errorf("the container is %s", got)
		}
		v.heal("c1")
	})
}

// A program that forks without end meets the container's limit of processes, and nobody else notices.
func TestC6ForkBomb(t *testing.T) {
	faults(t, func(v *victims) {
		limit := 60
		if allFaults() {
			limit = 2000
		}
		v.must("run", "-d", "--name", "c1", "--network", "net", "--pids-limit", fmt.Sprint(limit), "busybox", "sleep", "1000")
		v.must("run", "-d", "--name", "c2", "--network", "net", "busybox", "sleep", "1000")
		bomb := v.command("exec", "c1", "sh", "-c", "while :; do sh -c 'while :; do sleep 1000 & done'; done")
		var said bytes.Buffer
		bomb.Stderr = &said
		if err := bomb.Start(); err != nil {
			v.Fatal(err)
		}
		v.await("the limit to be reached", func() bool {
			pids, _ := strconv.Atoi(v.must("stats", "--no-stream", "--format", "{{.PIDs}}", "c1"))
			return pids >= limit-1 // one of them always tries
		})
		for _, args := range [][]string{{"ps"}, {"exec", "c2", "true"}, {"run", "--rm", "--network", "net", "busybox", "true"}, {"inspect", "c1"}} {
			if o := v.try(args...); o.code != 0 || o.took > patience {
				v.Errorf("%s beside the bomb: %+v", args, o)
			}
		}
		if o := v.try("exec", "c1", "true"); o.code != 0 && o.stderr == "" || o.took > patience {
			v.Errorf("exec into a container that is full: %+v", o)
		}
		v.must("rm", "-f", "c1", "c2")
		if exit := bomb.Wait(); exit == nil {
			v.Error("the program that forked ended well")
		}
		v.heal("c1")
	})
}
