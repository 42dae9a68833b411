package span

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestSpansOfAllProcessesAreInOneTable(t *testing.T) {
	if Begin("off") != (Span{}) || File() != nil {
		t.Fatal("spans are on before anybody asked")
	}
	if err := Open(); err != nil {
		t.Fatal(err)
	}
	defer sink.Store(nil)
	outer := Begin("outer")
	inner := Begin("inner one")
	inner.End()
	// Another process writes through the descriptor that it got.
	other := exec.Command("sh", "-c", "echo '7 1 2 of another' >&3")
	other.ExtraFiles = []*os.File{File()}
	if err := other.Run(); err != nil {
		t.Fatal(err)
	}
	outer.End()
	var out bytes.Buffer
	if err := Print(&out); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?s)\A *BEGAN ms +TOOK ms +PID +SPAN\n +0\.00 +0\.00 +7  of another\n[^\n]+  outer\n[^\n]+    inner one\n\z`)
	if !want.MatchString(out.String()) {
		t.Errorf("table:\n%s", out.String())
	}
}

func TestDamagedLinesAreLeftOut(t *testing.T) {
	got := parse("1 2 3 a\nnonsense\n1 x 3 b\n\n1 2 4 c\n")
	if len(got) != 2 || got[0].name != "c" || got[1].name != "a" {
		t.Errorf("got %+v", got)
	}
}

func TestNothingIsPrintedWhenOff(t *testing.T) {
	var out strings.Builder
	if err := Print(&out); err != nil || out.Len() > 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// BenchmarkOff is what a span costs when nobody asked for it.
func BenchmarkOff(b *testing.B) {
	for b.Loop() {
		Begin("off").End()
	}
}
