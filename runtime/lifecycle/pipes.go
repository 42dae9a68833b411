package lifecycle

import (
	"fmt"
	"io"
	"os"
	"sync"

	"ctr/runtime/attach"
)

// pipes are a program's stdin, stdout and stderr, as far as the caller has streams for them.
type pipes struct {
	ours, theirs [3]*os.File // by descriptor number; nil: /dev/null
	drained      sync.WaitGroup
}

// openPipes makes the pipes. The caller calls relay or close.
func openPipes(streams *attach.Streams) (*pipes, error) {
	p := &pipes{}
	for fd, wanted := range []bool{streams.Stdin != nil, streams.Stdout != nil, streams.Stderr != nil} {
		if !wanted {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("make pipe: %w", err)
		}
		if fd == 0 {
			p.theirs[fd], p.ours[fd] = r, w
		} else {
			p.ours[fd], p.theirs[fd] = r, w
		}
	}
	return p, nil
}

// relay copies between the pipes and the streams, now that the program has its ends. drained is done when the program's output
// has ended.
func (p *pipes) relay(streams *attach.Streams) {
	p.closeTheirs()
	if stdin := p.ours[0]; stdin != nil {
		go func() {
			io.Copy(stdin, streams.Stdin) //nolint:errcheck // the program does not read
			stdin.Close()
		}()
	}
	for fd, to := range map[int]io.Writer{1: streams.Stdout, 2: streams.Stderr} {
		from := p.ours[fd]
		if from == nil {
			continue
		}
		p.drained.Go(func() {
			io.Copy(to, from) //nolint:errcheck // the caller's end has gone: the program goes on, as in Docker
			from.Close()
		})
	}
}

func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		if f != nil {
			f.Close()
		}
	}
}

func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range p.ours {
		if f != nil {
			f.Close()
		}
	}
}
