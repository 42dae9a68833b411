package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

const testPasswd = `# a comment
root:x:0:0:root:/root:/bin/sh
alice:x:1000:1000:Alice:/home/alice:/bin/sh
1001:x:5:5::/home/number:/bin/sh
twin:x:1000:7::/home/twin:/bin/sh
nohome:x:1002:1002:::
badid:x:abc:1:::
badgid:x:1003:abc:::
huge:x:4294967296:1:::
negative:x:-1:-1:::
nouid
+nis::::::
short:x:1004
max:x:2147483647:2147483647::/max:
-dash:x:1005:1005::/dash:
`

const testGroup = `root:x:0:
alice:x:1000:
staff:x:50:alice,twin
wheel:x:10:root,alice
1001:x:60:alice
audio:x:29:1000
bad:x:abc:alice
twice:x:10:alice
`

func TestResolveUser(t *testing.T) {
	noUser, noGroup := "no matching entries in passwd file", "no matching entries in group file"
	outOfRange := "uids and gids must be in range 0-2147483647"
	tests := []struct {
		spec  string
		extra []string
		want  User
		err   string
	}{
		{"", nil, User{0, 0, []int{0, 10}, "/root", "root"}, ""},
		{"root", nil, User{0, 0, []int{0, 10}, "/root", "root"}, ""},
		{"0", nil, User{0, 0, []int{0, 10}, "/root", "root"}, ""},
		{"alice", nil, User{1000, 1000, []int{1000, 50, 10, 60}, "/home/alice", "alice"}, ""},
		{"1000", nil, User{1000, 1000, []int{1000, 50, 10, 60}, "/home/alice", "alice"}, ""},
		{"01000", nil, User{1000, 1000, []int{1000, 50, 10, 60}, "/home/alice", "alice"}, ""},
		{"alice:staff", nil, User{1000, 50, []int{50}, "/home/alice", "alice"}, ""},
		{"alice:50", nil, User{1000, 50, []int{50}, "/home/alice", "alice"}, ""},
		{"alice:777", nil, User{1000, 777, []int{777}, "/home/alice", "alice"}, ""},
		{"alice:", nil, User{1000, 1000, []int{1000, 50, 10, 60}, "/home/alice", "alice"}, ""},
		{"1000:1000", nil, User{1000, 1000, []int{1000}, "/home/alice", "alice"}, ""},
		{"twin", nil, User{1000, 7, []int{7, 50}, "/home/twin", "twin"}, ""},
		{"1", nil, User{1, 0, []int{0}, "/", ""}, ""},
		{"1:", nil, User{1, 0, []int{0}, "/", ""}, ""},
		{"0001", nil, User{1, 0, []int{0}, "/", ""}, ""},
		{"1:2", nil, User{1, 2, []int{2}, "/", ""}, ""},
		{"1001", nil, User{1001, 0, []int{0}, "/", ""}, ""}, // a number is never a name
		{"5", nil, User{5, 5, []int{5}, "/home/number", "1001"}, ""},
		{"nohome", nil, User{1002, 1002, []int{1002}, "/", "nohome"}, ""},
		{"max", nil, User{2147483647, 2147483647, []int{2147483647}, "/max", "max"}, ""},
		{"2147483647", nil, User{2147483647, 2147483647, []int{2147483647}, "/max", "max"}, ""},
		{"-dash", nil, User{1005, 1005, []int{1005}, "/dash", "-dash"}, ""},
		{"alice:staff:x", nil, User{}, "unable to find group staff:x: " + noGroup},
		{"alice", []string{"audio", "staff", "1234"}, User{1000, 1000, []int{1000, 50, 10, 60, 29, 1234}, "/home/alice", "alice"}, ""},
		{"1:2", []string{"2", "wheel"}, User{1, 2, []int{2, 10}, "/", ""}, ""},
		{"alice", []string{"none"}, User{}, "unable to find group none: " + noGroup},
		{"alice", []string{""}, User{}, "unable to find group : " + noGroup},
		{"alice", []string{"-1"}, User{}, outOfRange},
		{"alice", []string{"2147483648"}, User{}, outOfRange},
		{"x", nil, User{}, "unable to find user x: " + noUser},
		{"a:b", nil, User{}, "unable to find user a: " + noUser},
		{"alice:b", nil, User{}, "unable to find group b: " + noGroup},
		{"alice:bad", nil, User{}, "unable to find group bad: " + noGroup},
		{"ALICE", nil, User{}, "unable to find user ALICE: " + noUser},
		{"alice ", nil, User{}, "unable to find user alice : " + noUser},
		{"1 ", nil, User{}, "unable to find user 1 : " + noUser},
		{"0x10", nil, User{}, "unable to find user 0x10: " + noUser},
		{"1e3", nil, User{}, "unable to find user 1e3: " + noUser},
		{"badid", nil, User{}, "unable to find user badid: " + noUser},
		{"badgid", nil, User{}, "unable to find user badgid: " + noUser},
		{"huge", nil, User{}, "unable to find user huge: " + noUser},
		{"negative", nil, User{}, "unable to find user negative: " + noUser},
		{"nouid", nil, User{}, "unable to find user nouid: " + noUser},
		{"short", nil, User{}, "unable to find user short: " + noUser},
		{"+nis", nil, User{}, "unable to find user +nis: " + noUser},
		{"# a comment", nil, User{}, "unable to find user # a comment: " + noUser},
		{"2147483648", nil, User{}, outOfRange},
		{"4294967296", nil, User{}, outOfRange},
		{"4294967295", nil, User{}, outOfRange},
		{"18446744073709551616", nil, User{}, outOfRange},
		{"-1", nil, User{}, outOfRange},
		{"1:-1", nil, User{}, outOfRange},
		{"1:2147483648", nil, User{}, outOfRange},
		{":", nil, User{}, "unable to find user :"},
		{":staff", nil, User{}, "unable to find user :staff"},
		{"alice\nroot", nil, User{}, noUser},
	}
	for _, tt := range tests {
		t.Run(strings.Join(append([]string{tt.spec}, tt.extra...), "+"), func(t *testing.T) {
			got, err := resolveUser(tt.spec, tt.extra, []byte(testPasswd), []byte(testGroup))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrUser) {
					t.Errorf("got %+v, error %v, want ErrUser with %q", got, err, tt.err)
				}
				return
			}
			if err != nil || got.UID != tt.want.UID || got.GID != tt.want.GID || !slices.Equal(got.Groups, tt.want.Groups) ||
				got.Home != tt.want.Home || got.Name != tt.want.Name {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// TestLookupUserInOddImages has images whose user files would hang, fill or betray a careless reader.
func TestLookupUserInOddImages(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		if err := os.WriteFile("/etc/passwd", []byte("hostuser:x:4242:4242::/host:/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		passwd := func(root string) string { return filepath.Join(root, "etc/passwd") }
		line := strings.Repeat("user:x:1:1::/:/bin/sh\n", 50_000)
		cases := map[string]struct {
			make  func(root string) error
			found bool // hostuser or user is found
			err   error
		}{
			"nothing":       {func(string) error { return nil }, false, nil},
			"zero":          {func(r string) error { return unix.Mknod(passwd(r), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) }, false, nil},
			"fifo":          {func(r string) error { return unix.Mkfifo(passwd(r), 0o666) }, false, nil},
			"dir":           {func(r string) error { return os.Mkdir(passwd(r), 0o755) }, false, nil},
			"host-absolute": {func(r string) error { return os.Symlink("/../../../etc/passwd", passwd(r)) }, false, nil},
			"host-relative": {func(r string) error { return os.Symlink("../../../../../../../../../../etc/passwd", passwd(r)) }, false, nil},
			"host-proc":     {func(r string) error { return os.Symlink("/proc/self/root/etc/passwd", passwd(r)) }, false, nil},
			"loop":          {func(r string) error { return os.Symlink("passwd", passwd(r)) }, false, nil},
			"inside": {func(r string) error {
				return errors.Join(os.WriteFile(r+"/real", []byte("user:x:1:1:::\n"), 0o644), os.Symlink("/real", passwd(r)))
			}, true, nil},
			"etc-to-host": {func(r string) error {
				return errors.Join(os.Remove(r+"/etc"), os.Symlink("/proc/1/root/etc", r+"/etc"))
			}, false, nil},
			"large":     {func(r string) error { return os.WriteFile(passwd(r), []byte(line), 0o644) }, true, nil},
			"too-large": {func(r string) error { return os.WriteFile(passwd(r), []byte(strings.Repeat(line, 10)), 0o644) }, false, ErrUser},
			"sparse": {func(r string) error {
				return errors.Join(os.WriteFile(passwd(r), nil, 0o644), os.Truncate(passwd(r), 1<<40))
			}, false, ErrUser},
			"one-long-line": {func(r string) error {
				return os.WriteFile(passwd(r), []byte(strings.Repeat("x", 5<<20)+"\nuser:x:1:1:::\n"), 0o644)
			}, true, nil},
			"zeros": {func(r string) error { return os.WriteFile(passwd(r), make([]byte, 9<<20), 0o644) }, false, nil},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				root := filepath.Join(h.Dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Join(root, "etc"), 0o755), c.make(root)); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				u, err := LookupUser(root, "1", nil)
				if c.err != nil {
					if !errors.Is(err, c.err) {
						t.Errorf("error is %v, want %v", err, c.err)
					}
				} else if err != nil || u.UID != 1 {
					t.Errorf("user 1 is %+v, %v", u, err)
				}
				if _, err := LookupUser(root, "user", nil); (err == nil) != c.found {
					t.Errorf("user: %v", err)
				}
				if u, err := LookupUser(root, "hostuser", nil); err == nil {
					t.Errorf("the host's user was found: %+v", u)
				}
				if took := time.Since(start); took > 15*time.Second { // a file that never ends is read for ever; a busy machine is only slow
					t.Errorf("it took %v", took)
				}
			})
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.Sys > 150<<20 {
			t.Errorf("it took %d MiB of memory", m.Sys>>20)
		}
	})
}

func FuzzResolveUser(f *testing.F) {
	f.Add("alice:staff", "wheel", testPasswd, testGroup)
	f.Add("", "", "", "")
	f.Add("a:b:c", "-1", "a:x:0:0\n", "b:x:0:a,b,c")
	f.Fuzz(func(t *testing.T, spec, extra, passwd, group string) {
		u, err := resolveUser(spec, []string{extra}, []byte(passwd), []byte(group))
		if err != nil {
			if !errors.Is(err, ErrUser) {
				t.Errorf("error %v is not ErrUser", err)
			}
			return
		}
		if u.UID < 0 || u.UID > maxID || u.GID < 0 || u.GID > maxID || len(u.Groups) == 0 || u.Groups[0] != u.GID {
			t.Errorf("%q gives %+v", spec, u)
		}
		for _, g := range u.Groups {
			if g < 0 || g > maxID {
				t.Errorf("%q gives group %d", spec, g)
			}
		}
		if u.UID == 0 && strings.Trim(spec, "0") != "" && !strings.Contains(passwd, ":0:") && !strings.Contains(passwd, ":00") && spec[0] >= '1' && spec[0] <= '9' {
			t.Errorf("%q is root", spec)
		}
	})
}

func BenchmarkLookupUser(b *testing.B) {
	root := b.TempDir()
	if err := errors.Join(os.Mkdir(root+"/etc", 0o755), os.WriteFile(root+"/etc/passwd", []byte(testPasswd), 0o644),
		os.WriteFile(root+"/etc/group", []byte(testGroup), 0o644)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := LookupUser(root, "alice", nil); err != nil {
			b.Fatal(err)
		}
	}
}
