package monitor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"ctr/runtime/container"
)

func newContainer(t *testing.T, p container.RestartPolicy) *container.Container {
	t.Helper()
	c := &container.Container{Spec: container.Spec{Restart: p}, Dir: t.TempDir(), RunDir: filepath.Join(t.TempDir(), "run")}
	if err := os.Mkdir(c.RunDir, 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy container.RestartPolicy
		codes  []int
		want   []bool
	}{
		{"none", container.RestartPolicy{}, []int{1}, []bool{false}},
		{"no", container.RestartPolicy{Name: "no"}, []int{1}, []bool{false}},
		{"always", container.RestartPolicy{Name: "always"}, []int{0, 1, 137}, []bool{true, true, true}},
		{"unless-stopped", container.RestartPolicy{Name: "unless-stopped"}, []int{0, 1}, []bool{true, true}},
		{"on-failure", container.RestartPolicy{Name: "on-failure"}, []int{1, 1, 0}, []bool{true, true, false}},
		{"on-failure:2", container.RestartPolicy{Name: "on-failure", MaxRetries: 2}, []int{1, 1, 1}, []bool{true, true, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, tt.policy)
			p := newPolicy(tt.policy)
			for i, code := range tt.codes {
				if got := p.next(c, code, 0); got.restart != tt.want[i] {
					t.Errorf("after end %d with code %d: restart %v, want %v", i+1, code, got.restart, tt.want[i])
				}
			}
		})
	}
}

func TestBackOff(t *testing.T) {
	policy := container.RestartPolicy{Name: "always"}
	c, p := newContainer(t, policy), newPolicy(policy)
	want := 100 * time.Millisecond // these three are Docker's
	for range 15 {
		if got := p.next(c, 1, 0).delay; got != want {
			t.Fatalf("delay %v, want %v", got, want)
		}
		want = min(2*want, time.Minute)
	}
	if got := p.next(c, 1, 10*time.Second).delay; got != 100*time.Millisecond {
		t.Errorf("delay after a good run: %v", got)
	}
	if got := p.next(c, 1, 10*time.Second-1).delay; got != 200*time.Millisecond {
		t.Errorf("delay after a run that was nearly good: %v", got)
	}
}

func TestStoppedContainerIsNotStartedAgain(t *testing.T) {
	policy := container.RestartPolicy{Name: "always"}
	c, p := newContainer(t, policy), newPolicy(policy)
	if err := c.AskStop(); err != nil {
		t.Fatal(err)
	}
	if p.next(c, 137, 0).restart {
		t.Error("started again although the user stopped it")
	}
	m := &monitor{c: c}
	if m.pauseBefore(decision{restart: true, delay: time.Hour}) {
		t.Error("waited for a restart although the user stopped it")
	}
	if err := c.ForgetStop(); err != nil {
		t.Fatal(err)
	}
	if !p.next(c, 137, 0).restart {
		t.Error("not started again after the wish to stop was undone")
	}
}
