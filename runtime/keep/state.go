package keep

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/network/dns"
	"ctr/network/netns"
	"ctr/network/ports"
	"ctr/runtime/attach"
)

// StateVersion is the version of State that this program writes.
const StateVersion = 1

// State is a keeper that waits to be taken up again, in this process or in the program that replaces it (execve(2): the same
// process, the same children, the same descriptors). Descriptors are given by number; -1 is none.
type State struct {
	Version  int           `json:"version"`
	Listener int           `json:"listener"`
	Clients  []clientState `json:"clients,omitempty"`
	Program  programState  `json:"program"`
	Services servicesState `json:"services"`
	// Next is what is executed when the program has ended: argv, and the descriptor of the binary.
	Next     []string `json:"next"`
	NextFile int      `json:"nextFile"`
	// Owner is the monitor's own, and Carry are its descriptors, which stay open.
	Owner json.RawMessage `json:"owner"`
	Carry []int           `json:"carry,omitempty"`
}

type clientState struct {
	FD      int            `json:"fd"`
	Want    attach.Request `json:"want"`
	Process bool           `json:"process,omitempty"` // FD is a pidfd
}

type programState struct {
	Init      proc.ID `json:"init"`
	Stdin     int     `json:"stdin"`
	Stdout    int     `json:"stdout"`
	Stderr    int     `json:"stderr"`
	Pty       int     `json:"pty"`
	StdinOnce bool    `json:"stdinOnce,omitempty"`
	Log       Log     `json:"log"`
	// Pending are the beginnings of lines that were read and not logged, by stream.
	Pending [2][]byte `json:"pending"`
	Probe   *Probe    `json:"probe,omitempty"`
	// Adopted is the pidfd of an init that is no child; -1: it had ended before; 0: it is a child.
	Adopted int `json:"adopted,omitempty"`
}

type servicesState struct {
	NetNS    int            `json:"netns"`
	DNS      *dns.Config    `json:"dns,omitempty"`
	UDP      int            `json:"udp"`
	TCP      int            `json:"tcp"`
	Forwards []forwardState `json:"forwards,omitempty"`
}

type forwardState struct {
	Port    ports.Port       `json:"port"`
	Files   []int            `json:"files"`
	Targets []netip.AddrPort `json:"targets"`
}

var past = time.Unix(1, 0)

// Suspend stops a keeper without losing a byte of output or a frame, and returns what Resume needs. With idle it does so only
// if nobody is attached and nothing is relayed: else it returns false, and the keeper goes on. Without, services are left to
// the execve(2) that follows, which ends them where they are and keeps their sockets.
func (k *Keeper) Suspend(idle bool) (State, bool) {
	p := k.running()
	if p == nil || idle && k.hub.attached() > 0 || !p.prober.stop(!idle) {
		return State{}, false
	}
	// Clients first: whoever asks for a change from now on is heard by the keeper that is taken up again.
	k.closeDoors()
	if idle && k.hub.attached() > 0 { // somebody has come at the last moment
		k.openDoors()
		p.prober.start()
		return State{}, false
	}
	k.suspendClients()
	k.mu.Lock()
	services := k.services
	k.mu.Unlock()
	if idle && services != nil && !services.suspend() {
		k.resumeClients()
		k.openDoors()
		p.prober.start()
		return State{}, false
	}
	for _, f := range p.outputs() {
		_ = f.SetReadDeadline(past)
	}
	p.pumps.Wait()
	p.suspendLog()
	return k.state(p, services), true
}

// Continue takes the keeper up again in the process that suspended it, when Execute has failed.
func (k *Keeper) Continue() error {
	p := k.running()
	var never time.Time
	k.mu.Lock()
	services := k.services
	k.mu.Unlock()
	if services != nil && services.suspended {
		if services.DNS != nil {
			_ = services.UDP.SetReadDeadline(never)
			_ = services.TCP.SetDeadline(never)
		}
		k.Serve(services.Services)
	}
	for _, f := range p.outputs() {
		_ = f.SetReadDeadline(never)
	}
	k.resumeClients()
	k.openDoors()
	return p.begin()
}

// suspendClients stops to listen to clients. What they say waits.
func (k *Keeper) suspendClients() {
	for _, c := range k.hub.all() {
		c.setReadDeadline(past)
	}
	k.loops.Wait()
}

// resumeClients goes on to listen to clients.
func (k *Keeper) resumeClients() {
	var never time.Time
	for _, c := range k.hub.all() {
		c.setReadDeadline(never)
		k.loops.Go(func() { k.serve(c) })
	}
}

func (k *Keeper) state(p *Program, services *serving) State {
	s := State{Version: StateVersion, Listener: fdOf(k.listener)}
	for _, c := range k.hub.all() {
		if c.process != nil {
			s.Clients = append(s.Clients, clientState{fileFD(c.process), c.want, true})
			continue
		}
		s.Clients = append(s.Clients, clientState{fdOf(c.conn), c.want, false})
	}
	s.Program = programState{
		Init: p.Init, Stdin: -1, Stdout: fileFD(p.Stdout), Stderr: fileFD(p.Stderr), Pty: fileFD(p.Pty),
		StdinOnce: p.StdinOnce, Log: p.Log, Pending: p.Log.pending, Adopted: p.Adopted.fd(),
		Probe: p.prober.rest(),
	}
	if !p.stdin.closed {
		s.Program.Stdin = fileFD(p.Stdin)
	}
	s.Services = servicesState{NetNS: -1, UDP: -1, TCP: -1}
	if services != nil {
		s.Services = services.state()
	}
	return s
}

func (s *serving) state() servicesState {
	now := servicesState{NetNS: fileFD(s.NetNS.File()), UDP: -1, TCP: -1, DNS: s.DNS}
	if s.DNS != nil {
		now.UDP, now.TCP = fdOf(s.UDP), fdOf(s.TCP)
	}
	for _, f := range s.Forwards {
		forward := forwardState{Port: f.Held.Port, Targets: f.Targets}
		for _, file := range f.Held.Files {
			forward.Files = append(forward.Files, fileFD(file))
		}
		now.Forwards = append(now.Forwards, forward)
	}
	return now
}

// Resume takes a keeper up again. What its services, its owner and its program had open belongs to it as before.
func Resume(s State) (k *Keeper, p *Program, err error) {
	if s.Version > StateVersion {
		return nil, nil, fmt.Errorf("resume keeper: its state has version %d, this program knows %d", s.Version, StateVersion)
	}
	listener, err := fileListener[*net.UnixListener](s.Listener)
	if err != nil {
		return nil, nil, err
	}
	listener.SetUnlinkOnClose(false)
	k = newKeeper(listener)
	services, err := s.Services.open()
	if err != nil {
		return nil, nil, err
	}
	if services.NetNS != nil {
		k.Serve(services)
	}
	for _, state := range s.Clients {
		if state.Process {
			k.holdBy(state.FD)
			continue
		}
		conn, err := attach.FromFile(openFD(state.FD))
		if err != nil {
			return nil, nil, err
		}
		c := &client{conn: conn, want: state.Want}
		k.hub.add(c)
		k.loops.Go(func() { k.serve(c) })
	}
	p = &Program{
		Init: s.Program.Init, Stdin: openFD(s.Program.Stdin), Stdout: openFD(s.Program.Stdout), Stderr: openFD(s.Program.Stderr),
		Pty: openFD(s.Program.Pty), StdinOnce: s.Program.StdinOnce, Log: s.Program.Log,
		Probe: s.Program.Probe, Adopted: adopt(s.Program.Adopted), binary: "/proc/self/fd/" + strconv.Itoa(s.NextFile),
	}
	p.Log.pending = s.Program.Pending
	if err := k.Run(p); err != nil {
		return nil, nil, err
	}
	k.doors.Go(k.accept)
	return k, p, nil
}

func (s servicesState) open() (Services, error) {
	var all Services
	if s.NetNS < 0 {
		return all, nil
	}
	all.NetNS, all.DNS = netns.FromFile(openFD(s.NetNS)), s.DNS
	if s.DNS != nil {
		f := openFD(s.UDP)
		conn, err := net.FilePacketConn(f)
		f.Close()
		if err != nil {
			return all, fmt.Errorf("resume resolver: %w", err)
		}
		udp, ok := conn.(*net.UDPConn)
		if !ok {
			return all, errors.New("resume resolver: not a UDP socket")
		}
		all.UDP = udp
		if all.TCP, err = fileListener[*net.TCPListener](s.TCP); err != nil {
			return all, err
		}
	}
	for _, f := range s.Forwards {
		held := &ports.Held{Port: f.Port}
		for _, fd := range f.Files {
			held.Files = append(held.Files, openFD(fd))
		}
		all.Forwards = append(all.Forwards, ports.Forward{Held: held, Targets: f.Targets})
	}
	return all, nil
}

// openFD makes a file of an inherited descriptor; nil of -1.
func openFD(fd int) *os.File {
	if fd < 0 {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "inherited")
}

// fileListener makes a listener of an inherited descriptor.
func fileListener[T net.Listener](fd int) (T, error) {
	var none T
	f := openFD(fd)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return none, fmt.Errorf("resume listener: %w", err)
	}
	typed, ok := l.(T)
	if !ok {
		l.Close()
		return none, fmt.Errorf("resume listener: descriptor %d is another kind of socket", fd)
	}
	return typed, nil
}

// fdOf returns a descriptor's number without changing its mode, as File and Fd would.
func fdOf(c syscall.Conn) int {
	fd := -1
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

func fileFD(f *os.File) int {
	if f == nil {
		return -1
	}
	return fdOf(f)
}
