//go:build ctr_patched

package engine

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

// A filter that is loaded compiled must judge every call as the one that libcontainer would have compiled. The instructions
// themselves differ between two runs of libcontainer, which goes over the architectures in the order of a Go map.
func TestCompiledFilterIsTheSame(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		for name, s := range map[string]container.Security{
			"default":           {},
			"SYS_ADMIN":         {CapAdd: []string{"SYS_ADMIN"}},
			"no capabilities":   {CapDrop: []string{"ALL"}},
			"no new privileges": {NoNewPrivileges: true},
			"own":               {Seccomp: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["keyctl"],"action":"SCMP_ACT_ERRNO"}]}`},
			"own, strict":       {Seccomp: `{"defaultAction":"SCMP_ACT_LOG","flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`},
		} {
			cache := filepath.Join(h.Dir, "seccomp")
			var filters [][]unix.SockFilter
			for _, dir := range []string{"", cache, cache} { // compiled by the init; by us; taken from the cache
				c := b.config("sleep", "1000")
				c.SeccompCache, c.Spec.Security = dir, s
				x := b.start(c)
				if err := awaitProgram(x.Init()); err != nil {
					t.Fatal(err)
				}
				filters = append(filters, installedFilter(t, x.Init().PID))
				e, err := Exec(c.StateDir, c.Spec.ID, ExecConfig{Args: []string{"sleep", "1000"}}, Stdio{})
				if err != nil {
					t.Fatal(err)
				}
				filters = append(filters, installedFilter(t, e.ID.PID))
				if err := e.ID.Signal(unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			for i, f := range filters[3:] {
				if !slices.Equal(f, filters[2]) {
					t.Errorf("%s: compiled filter %d differs from the first", name, i+1)
				}
			}
			want, got := verdicts(t, filters[0]), verdicts(t, filters[2])
			if !slices.Equal(want, got) {
				t.Errorf("%s: the compiled filter judges differently", name)
			}
			if len(slices.Compact(slices.Sorted(slices.Values(want)))) < 2 {
				t.Errorf("%s: the filter judges all alike", name)
			}
		}
		entries, err := os.ReadDir(filepath.Join(h.Dir, "seccomp"))
		if err != nil || len(entries) != 5 { // no_new_privs does not change the filter
			t.Errorf("got %d files in the cache, %v", len(entries), err)
		}
	})
}

// verdicts runs a filter on every number of a system call of each architecture, with several arguments.
func verdicts(t *testing.T, filter []unix.SockFilter) []int {
	t.Helper()
	raw := make([]bpf.RawInstruction, len(filter))
	for i, f := range filter {
		raw[i] = bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the filter has unknown instructions")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	const x32 = 1 << 30
	var out []int
	for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM} {
		for nr := range uint32(2200) {
			if nr >= 1100 {
				nr = nr - 1100 | x32
			}
			for _, arg := range []uint32{0, 1, 2, 8, 38, 40, 0x20000, 0x20008, 0x10000000, 0x7e020000, 0xffffffff} {
				// struct seccomp_data: nr, arch, instruction pointer, six arguments. The machine reads words as big-endian.
				var data [64]byte
				binary.BigEndian.PutUint32(data[0:], nr)
				binary.BigEndian.PutUint32(data[4:], arch)
				for i := range 6 {
					binary.BigEndian.PutUint32(data[16+8*i:], arg)
				}
				verdict, err := vm.Run(data[:])
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, verdict)
			}
		}
	}
	return out
}

// installedFilter reads a process's seccomp filter from the kernel (ptrace(2), PTRACE_SECCOMP_GET_FILTER).
func installedFilter(t *testing.T, pid int) []unix.SockFilter {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(pid); err != nil {
		t.Fatal(err)
	}
	defer unix.PtraceDetach(pid)
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, 0, 0, 0)
	if errno != 0 {
		t.Fatalf("count instructions: %v", errno)
	}
	filter := make([]unix.SockFilter, n)
	_, _, errno = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, uintptr(unsafe.Pointer(&filter[0])), 0, 0)
	if errno != 0 {
		t.Fatalf("read instructions: %v", errno)
	}
	return filter
}
