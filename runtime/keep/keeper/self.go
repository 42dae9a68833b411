package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"ctr/runtime/keep"
)

const (
	// trimAfter is how long the program has done nothing special when it gives back what only that needed: its start, and each
	// change of what it serves.
	trimAfter = 500 * time.Millisecond
	// tryAgain is how long it goes on as it is when it was too busy to be renewed.
	tryAgain = 10 * time.Second
	// idleMemory is what the program has to itself, in bytes, when it serves next to nothing, and portMemory what each port adds.
	// With more it is worth to begin anew.
	idleMemory = 1400 << 10
	portMemory = 4 << 10
)

// self is the program as it looks after itself.
type self struct {
	k     *keep.Keeper
	state keep.State // that it was begun with

	mu sync.Mutex // held by who hands over: the other one comes when that has failed, or never
}

// stayIdle keeps the program as small as what it serves allows. Go's heap and maps never shrink to what they were, so that one which
// has given back a thousand ports begins anew, by execve(2) of its own binary: all that it serves stays open.
func (s *self) stayIdle() {
	<-time.After(trimAfter)
	trim()
	for less := range s.k.Changed() {
		<-time.After(trimAfter)
		for less && private() > idleMemory+portMemory*len(s.k.Services().Forwards) && !s.renew() {
			<-time.After(tryAgain)
		}
		trim()
	}
}

// renew begins anew. It returns false while somebody would notice, and true if it is of no use.
func (s *self) renew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	binary, err := os.Open("/proc/self/exe")
	if err != nil {
		return true
	}
	defer binary.Close()
	now, ok := s.suspend(true)
	if !ok {
		return false
	}
	err = keep.Execute(int(binary.Fd()), os.Args, now)
	if again := s.k.Continue(); again != nil {
		fmt.Fprintf(os.Stderr, "keeper: %v; and then: %v\n", err, again)
		os.Exit(1)
	}
	return true
}

// handOver executes the program that goes on when the container's has ended. It returns only on error.
func (s *self) handOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, ok := s.suspend(false)
	if !ok {
		return errors.New("nothing to hand over")
	}
	keep.Frugal(false)
	return keep.Execute(now.NextFile, now.Next, now)
}

// suspend stops the keeper, for who executes another program.
func (s *self) suspend(idle bool) (keep.State, bool) {
	now, ok := s.k.Suspend(idle)
	now.Next, now.NextFile, now.Owner, now.Carry = s.state.Next, s.state.NextFile, s.state.Owner, s.state.Carry
	return now, ok
}

// private is how many bytes of memory the program has that are not its binary's (proc_pid_statm(5): resident without shared).
func private() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.Atoi(fields[1])
	shared, _ := strconv.Atoi(fields[2])
	return (resident - shared) * os.Getpagesize()
}
