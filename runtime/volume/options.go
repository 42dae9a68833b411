package volume

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The options of the driver local, with Docker's names: those of mount(8).
const (
	optType   = "type"
	optDevice = "device"
	optData   = "o"
)

// required are the options that each one needs, as in Docker.
var required = map[string][]string{optDevice: {optType}, optType: {optDevice}, optData: {optDevice, optType}}

// Mounts tells whether the volume is a file system of its own, which is mounted for those who use it, and no plain folder.
func (s Spec) Mounts() bool { return s.Options[optDevice] != "" }

// checkOptions refuses what the driver does not know, and what cannot be mounted.
func (s Spec) checkOptions() error {
	for name := range s.Options {
		if _, ok := required[name]; !ok {
			return fmt.Errorf("invalid option: %q", name)
		}
	}
	for _, name := range []string{optType, optDevice, optData} {
		if _, ok := s.Options[name]; !ok {
			continue
		}
		for _, other := range required[name] {
			if s.Options[other] == "" {
				return fmt.Errorf("missing required option: %q", other)
			}
		}
	}
	if flags, _ := s.mountFlags(); flags&unix.MS_BIND != 0 && !strings.HasPrefix(s.Options[optDevice], "/") {
		return fmt.Errorf("device %q is no absolute path", s.Options[optDevice])
	}
	return nil
}

// mountFlag is a word in the option o that mount(2) takes as a flag.
type mountFlag struct {
	flag  uintptr
	clear bool
}

// mountFlags splits the option o in the flags of mount(2) and the file system's own data.
func (s Spec) mountFlags() (flags uintptr, data string) {
	words := map[string]mountFlag{
		"defaults": {}, "rw": {unix.MS_RDONLY, true}, "ro": {unix.MS_RDONLY, false},
		"suid": {unix.MS_NOSUID, true}, "nosuid": {unix.MS_NOSUID, false}, "dev": {unix.MS_NODEV, true}, "nodev": {unix.MS_NODEV, false},
		"exec": {unix.MS_NOEXEC, true}, "noexec": {unix.MS_NOEXEC, false}, "async": {unix.MS_SYNCHRONOUS, true},
		"sync": {unix.MS_SYNCHRONOUS, false}, "dirsync": {unix.MS_DIRSYNC, false}, "bind": {unix.MS_BIND, false},
		"rbind": {unix.MS_BIND | unix.MS_REC, false}, "atime": {unix.MS_NOATIME, true}, "noatime": {unix.MS_NOATIME, false},
		"diratime": {unix.MS_NODIRATIME, true}, "nodiratime": {unix.MS_NODIRATIME, false}, "relatime": {unix.MS_RELATIME, false},
		"norelatime": {unix.MS_RELATIME, true}, "strictatime": {unix.MS_STRICTATIME, false},
	}
	var rest []string
	for word := range strings.SplitSeq(s.Options[optData], ",") {
		f, known := words[word]
		switch {
		case word == "":
		case !known:
			rest = append(rest, word)
		case f.clear:
			flags &^= f.flag
		default:
			flags |= f.flag
		}
	}
	return flags, strings.Join(rest, ",")
}

// Shared tells whether each mount of the volume would be another, empty file system: those who use it at one time then have to
// share one.
func (v *Volume) Shared() bool {
	return slices.Contains([]string{"tmpfs", "ramfs"}, v.Options[optType])
}

// Mount mounts the volume's file system on Path, for all that see the calling thread's mount namespace: a private one.
func (v *Volume) Mount() error {
	device, flags, data, err := v.mountArguments(resolve)
	if err != nil {
		return fmt.Errorf("mount volume %q: %w", v.Name, err)
	}
	path, kind := v.Path(), v.Options[optType]
	err = negotiate(versions(kind, data), func(version string) error { return unix.Mount(device, path, kind, flags, data+version) })
	if err != nil {
		return fmt.Errorf("mount volume %q: mount %s of type %s with o=%q: %w", v.Name, device, kind, v.shownData(), explain(kind, err))
	}
	if wanted := flags &^ (unix.MS_BIND | unix.MS_REC); flags&unix.MS_BIND != 0 && wanted != 0 { // a bind takes flags the second time only
		if err := unix.Mount("", path, "", wanted|unix.MS_BIND|unix.MS_REMOUNT, ""); err != nil {
			return fmt.Errorf("mount volume %q: %w", v.Name, err)
		}
	}
	return nil
}

// shownData is the option o without its passwords.
func (v *Volume) shownData() string {
	words := strings.Split(v.Options[optData], ",")
	for i, word := range words {
		if name, _, ok := strings.Cut(word, "="); ok && slices.Contains([]string{"password", "pass", "passwd"}, name) {
			words[i] = name + "=********"
		}
	}
	return strings.Join(words, ",")
}

// explain says what errors of mount(2) mean here.
func explain(kind string, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		module := kind
		if isNFS(kind) {
			module = "nfs"
		}
		return fmt.Errorf("no such file system in this kernel: it needs the module %q", module)
	case isNFS(kind) && errors.Is(err, unix.EPROTONOSUPPORT):
		return errors.New("the server, or this kernel (modules nfsv4, nfsv3), does not know this version of NFS")
	}
	return err
}

func isNFS(kind string) bool { return kind == "nfs" || kind == "nfs4" }

// versions are what is to be tried, each as a word at the end of the data, of an NFS volume that names no version: the newest first,
// as mount.nfs(8) does. The kernel alone would take version 3, which servers of version 4 do not answer. Of others it is nothing.
func versions(kind, data string) []string {
	named := func(word string) bool {
		name, _, _ := strings.Cut(word, "=")
		return slices.Contains([]string{"vers", "nfsvers", "minorversion", "v2", "v3", "v4", "v4.0", "v4.1", "v4.2"}, name)
	}
	if !isNFS(kind) || slices.ContainsFunc(strings.Split(data, ","), named) {
		return []string{""}
	}
	tried := []string{",vers=4.2", ",vers=4.1", ",vers=4.0", ",vers=3"}
	if kind == "nfs4" {
		return tried[:3]
	}
	return tried
}

// negotiate tries versions until one is taken. What ends it is any error that is not about the version: of several, the first one.
func negotiate(versions []string, mount func(version string) error) (first error) {
	for _, version := range versions {
		err := mount(version)
		switch {
		case err == nil:
			return nil
		case first == nil || errors.Is(first, unix.EPROTONOSUPPORT):
			first = err
		}
		// Servers of version 3 have no root of all exports; old kernels know no minor versions.
		if !slices.ContainsFunc([]error{unix.EPROTONOSUPPORT, unix.EINVAL, unix.ENOENT, unix.EPERM}, func(e error) bool { return errors.Is(err, e) }) {
			break
		}
	}
	return first
}

// resolve finds the address of a server, as the host sees it.
func resolve(host string) (string, error) {
	address, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", fmt.Errorf("find server %q: %w", host, err)
	}
	return address.String(), nil
}

// mountArguments are those of mount(2). A server of files gets there by its address, since the kernel takes no name: that of addr=, as
// in Docker, or else that of the device, which mount(8) would see to.
func (s Spec) mountArguments(resolve func(host string) (string, error)) (device string, flags uintptr, data string, err error) {
	device = s.Options[optDevice]
	flags, data = s.mountFlags()
	kind := s.Options[optType]
	if !isNFS(kind) && kind != "cifs" {
		return device, flags, data, nil
	}
	words := strings.Split(data, ",")
	given := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "addr=") })
	if given >= 0 {
		address, err := resolve(strings.TrimPrefix(words[given], "addr="))
		words[given] = "addr=" + address
		return device, flags, strings.Join(words, ","), err
	}
	host := serverOf(kind, device)
	if host == "" {
		return "", 0, "", errors.New("no server: say it by o=addr=SERVER")
	}
	address, err := resolve(host)
	if data != "" {
		data += ","
	}
	return device, flags, data + "addr=" + address, err
}

// serverOf takes the server from HOST:/path or //HOST/share; empty if there is none.
func serverOf(kind, device string) string {
	if kind == "cifs" {
		host, _, _ := strings.Cut(strings.TrimPrefix(device, "//"), "/")
		return host
	}
	host, _, _ := strings.Cut(device, ":/")
	return strings.Trim(host, "[]")
}

// ReadOnly tells whether the options say so.
func (v *Volume) ReadOnly() bool {
	flags, _ := v.mountFlags()
	return flags&unix.MS_RDONLY != 0
}
