package keep

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

// orphan starts a shell command that is no child of this process.
func orphan(t *testing.T, script string) proc.ID {
	t.Helper()
	out, err := exec.Command("sh", "-c", "exec sh -c '"+script+"' >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = id.Signal(unix.SIGKILL) }) // it has ended, as a rule
	return id
}

// adoptedBy has the keeper keep a program that is no child, by way of the state that two programs hand over.
func adoptedBy(t *testing.T, k *Keeper, init proc.ID) *Program {
	t.Helper()
	pidfd, err := init.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &Program{Init: init, Adopted: &Adopted{Pidfd: pidfd}}
	if err := k.Run(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAdopted(t *testing.T) {
	k, _ := testKeeper(t)
	p := adoptedBy(t, k, orphan(t, "sleep 0.2; kill -TERM $$"))
	waited := make(chan error, 1)
	go func() { waited <- p.Wait() }()
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	// Whoever is its parent here may have been faster, and the kernel too old to tell.
	if code, err := p.Reap(); err == nil && code != 128+int(unix.SIGTERM) || err != nil && !errors.Is(err, ErrExitUnknown) {
		t.Errorf("exit code %d, %v", code, err)
	}
	if err := p.End(); err != nil {
		t.Error(err)
	}
	// One that had ended before.
	p = &Program{Init: p.Init, Adopted: &Adopted{}}
	if err := k.Run(p); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := p.Reap(); !errors.Is(err, ErrExitUnknown) {
		t.Errorf("the end of what had ended before: %v", err)
	}
}

// Processes that hold the sandbox go on doing so when the keeper becomes another program, and let it go when they end.
func TestHeldByProcess(t *testing.T) {
	k, _ := testKeeper(t)
	holder := orphan(t, "exec sleep 1000")
	if err := k.HoldFor(holder); err != nil {
		t.Fatal(err)
	}
	if err := k.HoldFor(proc.ID{PID: holder.PID, Start: 1}); err != nil || k.hub.holders() != 1 {
		t.Errorf("a process that has ended: %v, %d hold", err, k.hub.holders())
	}
	p := adoptedBy(t, k, orphan(t, "exec sleep 1000"))
	state, ok := k.Suspend(true)
	if !ok || len(state.Clients) != 1 || !state.Clients[0].Process || state.Program.Adopted <= 0 {
		t.Fatalf("suspended: %v, %+v", ok, state)
	}
	if err := k.Continue(); err != nil {
		t.Fatal(err)
	}
	released := k.Released()
	select {
	case <-released:
		t.Error("released while the holder runs")
	default:
	}
	for _, id := range []proc.ID{holder, p.Init} {
		if err := id.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	<-released
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if err := p.End(); err != nil {
		t.Error(err)
	}
}
