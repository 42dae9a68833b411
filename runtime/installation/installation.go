// Package installation opens the two folders that an installation of ctr consists of, and the stores in them.
//
// It owns <run root>/boot-id: the run root holds what names live kernel objects, and none of them survives a reboot. Where the
// run root is not on a tmpfs, the boot ID tells (proc(5), /proc/sys/kernel/random/boot_id), and everything in it is removed. And it owns <run root>/cgroups/<path>, one file for
// each cgroup that was made for --cgroup-parent outside of the installation's own.
package installation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ctr/images"
	"ctr/internal/durable"
	"ctr/internal/span"
	"ctr/network"
	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/embedded"
	"ctr/runtime/events"
	"ctr/runtime/volume"
)

// The default roots.
const (
	DefaultData = "/var/lib/ctr"
	DefaultRun  = "/run/ctr"
)

// Roots are the two folders of an installation.
type Roots struct {
	Data string // what the user asked for
	Run  string // what names live kernel objects
}

// Tag returns what marks the kernel objects of the installation: empty for the default roots, else 8 hexadecimal digits.
func (r Roots) Tag() string {
	if r.Data == DefaultData && r.Run == DefaultRun {
		return ""
	}
	sum := sha256.Sum256([]byte(r.Data + "\x00" + r.Run))
	return hex.EncodeToString(sum[:4])
}

// Installation is the containers, networks and images under one pair of roots.
type Installation struct {
	Roots      Roots
	Tag        string
	Containers *container.Store
	Networks   *network.Networks
	Images     *images.Store
	Layers     *rootfs.Layers
	Volumes    *volume.Store
	Events     *events.Journal
}

// Open opens the installation, and makes the folders that are missing, for root only. Two commands may open the same one at
// the same time.
func Open(roots Roots) (*Installation, error) {
	var err error
	if roots.Data, err = filepath.Abs(roots.Data); err != nil {
		return nil, fmt.Errorf("open data root: %w", err)
	}
	if roots.Run, err = filepath.Abs(roots.Run); err != nil {
		return nil, fmt.Errorf("open run root: %w", err)
	}
	for _, dir := range []string{roots.Data, roots.Run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make root: %w", err)
		}
		// A folder that was there before, or a loose umask, must not let others in: layers hold setuid programs.
		if err := os.Chmod(dir, 0o700); err != nil {
			return nil, fmt.Errorf("close root to others: %w", err)
		}
	}
	if err := checkBoot(roots.Run); err != nil {
		return nil, err
	}
	return openStores(roots)
}

func openStores(roots Roots) (*Installation, error) {
	in := &Installation{Roots: roots, Tag: roots.Tag(), Events: events.Open(filepath.Join(roots.Run, "events"))}
	var err error
	if in.Containers, err = container.OpenStore(roots.Data, roots.Run); err != nil {
		return nil, err
	}
	in.Networks, err = network.Open(network.Config{
		Data:      filepath.Join(roots.Data, "networks"),
		Run:       filepath.Join(roots.Run, "networks"),
		Names:     filepath.Join(roots.Data, "names", "networks"),
		Sandboxes: filepath.Join(roots.Run, "containers", "*", "sandbox.json"),
		Tag:       in.Tag,
	})
	if err != nil {
		return nil, err
	}
	if in.Images, err = images.Open(filepath.Join(roots.Data, "images")); err != nil {
		return nil, err
	}
	if in.Layers, err = rootfs.OpenLayers(filepath.Join(roots.Data, "layers")); err != nil {
		return nil, err
	}
	if in.Volumes, err = volume.Open(filepath.Join(roots.Data, "volumes")); err != nil {
		return nil, err
	}
	return in, nil
}

// checkBoot empties the run root if it is from before the last boot.
func checkBoot(run string) error {
	now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("read boot id: %w", err)
	}
	file := filepath.Join(run, "boot-id")
	if then, err := os.ReadFile(file); err == nil && bytes.Equal(then, now) {
		return nil
	}
	unlock, err := durable.Lock(run)
	if err != nil {
		return err
	}
	defer unlock()
	if then, err := os.ReadFile(file); err == nil && bytes.Equal(then, now) {
		return nil // somebody else was faster
	}
	entries, err := os.ReadDir(run)
	if err != nil {
		return fmt.Errorf("empty run root: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, rootfs.RemoveAll(filepath.Join(run, e.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("empty run root after a reboot: %w", err)
	}
	return durable.WriteFile(file, now, 0o600, durable.NoFsync)
}

// InitProgram returns the path of the program that becomes the processes of containers; empty if this ctr was built without.
func (in *Installation) InitProgram() (string, error) {
	path, err := embedded.Init.Path(in.Roots.Data)
	if errors.Is(err, embedded.ErrMissing) {
		return "", nil
	}
	return path, err
}

// Discard removes a container that does not run, and with volumes those that were made for it alone. The caller holds its
// lock.
func (in *Installation) Discard(c *container.Container, volumes bool) error {
	defer span.Begin("remove container").End()
	err := in.Containers.Remove(c)
	if err == nil {
		in.Notify(c, "destroy")
	}
	if !volumes {
		return err
	}
	for _, mount := range c.Mounts {
		if mount.Type == container.MountVolume && mount.Anonymous {
			if in.volumeUsed(mount.Source) {
				continue
			}
			if gone := in.Volumes.Remove(mount.Source); gone != nil {
				err = errors.Join(err, gone)
				continue
			}
			in.NotifyOf(events.Volume, "destroy", mount.Source, "driver", "local")
		}
	}
	return err
}

// volumeUsed tells whether a container has the volume, one that shares it by --volumes-from. A record that cannot be read may
// be that of one.
func (in *Installation) volumeUsed(name string) bool {
	all, broken := in.Containers.List()
	return len(broken) > 0 || slices.ContainsFunc(all, func(c *container.Container) bool {
		return slices.ContainsFunc(c.Mounts, func(m container.Mount) bool {
			return m.Type == container.MountVolume && m.Source == name
		})
	})
}
