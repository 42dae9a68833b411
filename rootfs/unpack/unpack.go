// Package unpack writes the tar archive of a layer into a folder, in the form that overlayfs takes.
//
// It owns nothing: the folder is the caller's. What the archive says is done below that folder only, whatever its names and
// links are; every path is resolved by package inroot, and what it ends in is made by its parent's descriptor, never
// followed. Whiteouts become character devices 0:0 and opaque folders get trusted.overlay.opaque=y (kernel documentation,
// filesystems/overlayfs). No attribute of overlayfs is ever taken from the archive. Ownership, all mode bits, times, device
// nodes and other extended attributes, file capabilities among them, are kept as the archive has them, as Docker does.
//
// Later entries replace earlier ones of the same name; only a folder over a folder is merged. Folders that the archive
// leaves out are made.
package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// ErrArchive is returned when the archive is damaged, holds what tar cannot, or names what is outside of the layer.
var ErrArchive = errors.New("invalid archive")

// ErrLimit is returned when the archive holds more than Options allow.
var ErrLimit = errors.New("archive is too large")

// The default limits. The largest layers that people make, of machine-learning images, have some 30 GiB and 500,000 files.
const (
	DefaultMaxBytes   = 64 << 30
	DefaultMaxEntries = 1_000_000
	DefaultMaxNames   = 64 << 20

	maxTrailer = 64 << 20 // what may follow the archive's end, in bytes
)

// Options are how to unpack. The zero value is good.
type Options struct {
	MaxBytes   int64    // of all files together, holes included; 0: DefaultMaxBytes
	MaxEntries int64    // 0: DefaultMaxEntries
	MaxNames   int64    // bytes of the names of all folders and whiteouts, which are kept until the end; 0: DefaultMaxNames
	Lower      []string // the layers below, the base first: folders left out by this archive look like theirs
}

// Unpack writes the archive into root, an empty folder that nobody else writes to, and reads it to its end. On error root
// is left with a part of it. It returns ErrArchive and ErrLimit; errors of the reader and of the kernel are wrapped.
func Unpack(ctx context.Context, root *inroot.Root, archive io.Reader, o Options) error {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	if o.MaxNames == 0 {
		o.MaxNames = DefaultMaxNames
	}
	if err := unix.Fchmod(root.Fd(), 0o755); err != nil {
		return fmt.Errorf("chmod layer: %w", err)
	}
	archive = &cancelReader{ctx: ctx, r: archive}
	u := unpacker{root: root, options: o, tar: tar.NewReader(archive), dirs: map[string]dirTimes{}, whiteouts: map[string]struct{}{}}
	if err := u.entries(); err != nil {
		return err
	}
	if err := u.pruneWhiteouts(); err != nil {
		return err
	}
	if err := u.setDirTimes(); err != nil {
		return err
	}
	return drain(archive)
}

type unpacker struct {
	root    *inroot.Root
	options Options
	tar     *tar.Reader

	entriesSeen, bytesSeen, nameBytes int64

	dirs      map[string]dirTimes // by name; set last, since making a file in a folder changes its time
	whiteouts map[string]struct{} // by name
	disk      disk
	buf       []byte

	into   *IntoOptions // nil: a layer is unpacked
	prefix string       // Into: the folder below root
}

func (u *unpacker) entries() error {
	for {
		h, err := u.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		// tar.ErrInsecurePath comes with GODEBUG=tarinsecurepath=0 only, and says nothing that is not checked here.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return readError(err)
		}
		if err := u.count(h); err != nil {
			return err
		}
		unpackEntry := u.entry
		if u.into != nil {
			unpackEntry = u.add
		}
		if err := unpackEntry(h); err != nil {
			return fmt.Errorf("unpack %s: %w", shorten(h.Name), structural(err))
		}
	}
}

func (u *unpacker) count(h *tar.Header) error {
	if u.entriesSeen++; u.entriesSeen > u.options.MaxEntries {
		return fmt.Errorf("%w: more than %d files", ErrLimit, u.options.MaxEntries)
	}
	if h.Size < 0 || h.Size > u.options.MaxBytes-u.bytesSeen {
		return fmt.Errorf("%w: more than %d bytes", ErrLimit, u.options.MaxBytes)
	}
	u.bytesSeen += h.Size
	return nil
}

// entry unpacks one entry.
func (u *unpacker) entry(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		// The root's own attributes are those of the container's upper folder: nobody would see the layer's.
		if h.Typeflag == tar.TypeDir {
			return nil
		}
		return fmt.Errorf("%w: the root is a folder", ErrArchive)
	}
	if isAufsOnly(name) {
		return nil
	}
	parent, base, err := u.parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if hidden, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		return u.whiteout(parent, hidden)
	}
	return u.make(parent, base, name, h)
}

// cleanName returns the name relative to the root. It is an error if the name leads out of it by itself, without any link:
// no honest program writes such an archive.
func cleanName(name string) (string, error) {
	if len(name) >= unix.PathMax {
		return "", fmt.Errorf("%w: name of %d bytes", ErrArchive, len(name))
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w: name leads out of the layer", ErrArchive)
	}
	return clean, nil
}

// drain reads what follows the archive's end: padding, and the verdict of a reader that verifies a digest.
func drain(r io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxTrailer+1))
	if err != nil {
		return readError(err)
	}
	if n > maxTrailer {
		return fmt.Errorf("%w: more than %d bytes after its end", ErrLimit, maxTrailer)
	}
	return nil
}

// readError tells damage of the archive from errors of whoever delivers it.
func readError(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read archive: %w: %w", ErrArchive, err)
	}
	return fmt.Errorf("read archive: %w", err)
}

// structural marks as ErrArchive what only an archive that contradicts itself leads to: a file used as a folder, a loop of
// links, a name that no file system takes.
func structural(err error) error {
	if errors.Is(err, ErrArchive) || errors.Is(err, ErrLimit) || errors.Is(err, ErrInWay) {
		return err
	}
	for _, e := range []error{unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG, unix.ENOENT, unix.EINVAL, unix.EEXIST, unix.EMLINK} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
	}
	return err
}

// shorten quotes a name for an error message. Names may have a million bytes.
func shorten(name string) string {
	if len(name) > 128 {
		return fmt.Sprintf("%q...", name[:128])
	}
	return fmt.Sprintf("%q", name)
}

// cancelReader ends with the context.
type cancelReader struct {
	ctx context.Context //nolint:containedctx // it lives exactly as long as the call that it belongs to
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
