package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/term"

	"ctr/images"
)

// progress shows a pull: on a terminal a line for each layer, which changes in place; elsewhere a line for each step.
type progress struct {
	w        io.Writer
	terminal bool
	layers   []string // in the order of their lines
	status   map[string]string
}

func newProgress(f *os.File) *progress {
	return &progress{w: f, terminal: term.IsTerminal(int(f.Fd())), status: map[string]string{}}
}

// event is called by one goroutine at a time.
func (p *progress) event(e images.Event) {
	if e.Layer == "" {
		fmt.Fprintln(p.w, e.Status)
		p.layers, p.status = nil, map[string]string{} // what comes next stands below
		return
	}
	text := e.Layer + ": " + e.Status
	if e.Total > 0 && p.terminal {
		text += " " + bar(e.Current, e.Total)
	}
	old, known := p.status[e.Layer]
	if old == text {
		return
	}
	p.status[e.Layer] = text
	if !p.terminal {
		if !strings.HasPrefix(old, e.Layer+": "+e.Status) {
			fmt.Fprintln(p.w, e.Layer+": "+e.Status)
		}
		return
	}
	if !known {
		p.layers = append(p.layers, e.Layer)
		fmt.Fprintln(p.w, text)
		return
	}
	for i, layer := range p.layers {
		if layer == e.Layer {
			up := len(p.layers) - i
			// Up to its line, clear it, and back down.
			fmt.Fprintf(p.w, "\x1b[%dA\r\x1b[2K%s\x1b[%dB\r", up, text, up)
		}
	}
}

const barWidth = 50

// bar is Docker's: [=====>     ]  1.2MB/3.4MB.
func bar(current, total int64) string {
	n := int(min(current, total) * barWidth / total)
	arrow := strings.Repeat("=", n)
	if n < barWidth {
		arrow += ">"
	}
	return fmt.Sprintf("[%-*s]  %s/%s", barWidth, arrow, units.HumanSizeWithPrecision(float64(current), 4), units.HumanSizeWithPrecision(float64(total), 4))
}

func (p *progress) close() {}
