package volume

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func options(kind, device, data string) Spec {
	s := Spec{Name: "v", Options: map[string]string{optType: kind, optDevice: device}}
	if data != "" {
		s.Options[optData] = data
	}
	return s
}

func TestMountArguments(t *testing.T) {
	t.Parallel()
	hosts := map[string]string{"files": "10.0.0.7", "10.0.0.8": "10.0.0.8", "fd00::1": "fd00::1"}
	resolve := func(host string) (string, error) {
		if address := hosts[host]; address != "" {
			return address, nil
		}
		return "", errors.New("no such host: " + host)
	}
	for _, test := range []struct {
		kind, device, data string
		flags              uintptr
		want               string // data
		fails              string
	}{
		{kind: "tmpfs", device: "tmpfs", data: "size=1m,ro,noexec,addr=files", flags: unix.MS_RDONLY | unix.MS_NOEXEC, want: "size=1m,addr=files"},
		{kind: "none", device: "/srv", data: "rbind,ro,rw", flags: unix.MS_BIND | unix.MS_REC},
		{kind: "nfs", device: ":/export", data: "addr=files,rw,vers=4,soft", want: "addr=10.0.0.7,vers=4,soft"},
		{kind: "nfs", device: ":/export", data: "nolock,addr=10.0.0.8,ro", flags: unix.MS_RDONLY, want: "nolock,addr=10.0.0.8"},
		{kind: "nfs4", device: "other:/export", data: "addr=fd00::1", want: "addr=fd00::1"},
		{kind: "nfs", device: "files:/export", want: "addr=10.0.0.7"},
		{kind: "nfs4", device: "[fd00::1]:/export", data: "soft", want: "soft,addr=fd00::1"},
		{kind: "cifs", device: "//files/share", data: "username=a,password=b", want: "username=a,password=b,addr=10.0.0.7"},
		{kind: "cifs", device: "//x/share", data: "addr=10.0.0.8", want: "addr=10.0.0.8"},
		{kind: "nfs", device: ":/export", data: "soft", fails: "no server: say it by o=addr=SERVER"},
		{kind: "nfs", device: ":/export", data: "addr=nowhere", fails: "no such host: nowhere"},
		{kind: "nfs", device: ":/export", data: "addr=", fails: "no such host: "},
		{kind: "nfs", device: "nowhere:/export", fails: "no such host: nowhere"},
	} {
		device, flags, data, err := options(test.kind, test.device, test.data).mountArguments(resolve)
		if test.fails != "" {
			if err == nil || err.Error() != test.fails {
				t.Errorf("%s %s %s: got %v", test.kind, test.device, test.data, err)
			}
			continue
		}
		if err != nil || device != test.device || flags != test.flags || data != test.want {
			t.Errorf("%s %s %s: got %s, %#x, %q, %v", test.kind, test.device, test.data, device, flags, data, err)
		}
	}
}

func TestVersionsOfNFS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, data string
		answers    map[string]error // by version; others succeed
		want       string           // what was tried
		fails      error
	}{
		{kind: "nfs", data: "addr=10.0.0.7,rw", want: ",vers=4.2"},
		{kind: "nfs", data: "addr=10.0.0.7,vers=4", want: ""},
		{kind: "nfs", data: "addr=10.0.0.7,nfsvers=3", want: ""},
		{kind: "nfs", data: "v3,addr=10.0.0.7", want: ""},
		{kind: "tmpfs", data: "size=1m", want: ""},
		{kind: "nfs", answers: map[string]error{",vers=4.2": unix.EPROTONOSUPPORT, ",vers=4.1": unix.EINVAL}, want: ",vers=4.2,vers=4.1,vers=4.0"},
		{
			kind: "nfs", answers: map[string]error{",vers=4.2": unix.ENOENT, ",vers=4.1": unix.ENOENT, ",vers=4.0": unix.ENOENT},
			want: ",vers=4.2,vers=4.1,vers=4.0,vers=3",
		},
		{kind: "nfs", answers: map[string]error{",vers=4.2": unix.ECONNREFUSED}, want: ",vers=4.2", fails: unix.ECONNREFUSED},
		{
			kind: "nfs", want: ",vers=4.2,vers=4.1,vers=4.0,vers=3", fails: unix.ENOENT,
			answers: map[string]error{",vers=4.2": unix.EPROTONOSUPPORT, ",vers=4.1": unix.ENOENT, ",vers=4.0": unix.ENOENT, ",vers=3": unix.ECONNREFUSED},
		},
		{
			kind: "nfs4", want: ",vers=4.2,vers=4.1,vers=4.0", fails: unix.EPROTONOSUPPORT,
			answers: map[string]error{",vers=4.2": unix.EPROTONOSUPPORT, ",vers=4.1": unix.EPROTONOSUPPORT, ",vers=4.0": unix.EPROTONOSUPPORT},
		},
	} {
		var tried string
		err := negotiate(versions(test.kind, test.data), func(version string) error {
			tried += version
			return test.answers[version]
		})
		if tried != test.want || !errors.Is(err, test.fails) {
			t.Errorf("%s %s: tried %q, %v", test.kind, test.data, tried, err)
		}
	}
}

func TestCheckOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options map[string]string
		fails   string
	}{
		{nil, ""},
		{map[string]string{"type": "nfs", "device": ":/a", "o": "addr=x,rw"}, ""},
		{map[string]string{"type": "none", "device": "/a", "o": "bind"}, ""},
		{map[string]string{"size": "1m"}, `invalid option: "size"`},
		{map[string]string{"type": "nfs"}, `missing required option: "device"`},
		{map[string]string{"device": ":/a"}, `missing required option: "type"`},
		{map[string]string{"o": "rw"}, `missing required option: "device"`},
		{map[string]string{"type": "none", "device": "a", "o": "bind"}, `device "a" is no absolute path`},
	} {
		err := Spec{Options: test.options}.checkOptions()
		if (err == nil) != (test.fails == "") || err != nil && err.Error() != test.fails {
			t.Errorf("%v: got %v", test.options, err)
		}
	}
}

// What is said of a mount that fails shows no password.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	v := &Volume{Spec: options("cifs", "//10.0.0.7/share", "username=a,password=s3cret,vers=3.0,pass=s3cret"), dir: "/nowhere"}
	err := v.Mount()
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), `o="username=a,password=********,vers=3.0,pass=********"`) {
		t.Errorf("got %v", err)
	}
}
