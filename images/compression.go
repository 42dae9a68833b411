package images

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/therootcompany/xz"
)

// compression is how a stream is compressed.
type compression int

const (
	uncompressed compression = iota
	gzipped
	zstandard
	bzipped // archives only: no layer of a registry is
	xzipped // archives only
)

const (
	// maxWindow bounds the memory of a decompressor: what the zstd and xz tools themselves accept by default.
	maxWindow = 128 << 20
	// A stream may always grow to freeGrowth bytes, and beyond that to maxGrowth times its compressed size. Real layers grow
	// three-fold; a bomb of zeros grows 1,000-fold with gzip and 30,000-fold with zstd.
	freeGrowth = 1 << 30
	maxGrowth  = 200
)

var magics = []struct {
	bytes []byte
	kind  compression
}{
	{[]byte{0x1f, 0x8b}, gzipped},
	{[]byte{0x28, 0xb5, 0x2f, 0xfd}, zstandard},
	{[]byte("BZh"), bzipped},
	{[]byte{0xfd, '7', 'z', 'X', 'Z', 0}, xzipped},
}

// sniff tells the compression from the first bytes of a stream.
func sniff(head []byte) compression {
	for _, m := range magics {
		if bytes.HasPrefix(head, m.bytes) {
			return m.kind
		}
	}
	return uncompressed
}

// layerTypes maps the media types of layers to their compression.
var layerTypes = map[string]compression{
	v1.MediaTypeImageLayer:         uncompressed,
	v1.MediaTypeImageLayerGzip:     gzipped,
	v1.MediaTypeImageLayerZstd:     zstandard,
	mediaTypeDockerLayer:           uncompressed,
	mediaTypeDockerLayer + ".gzip": gzipped,
	mediaTypeDockerLayer + ".zstd": zstandard,
}

// compressionOf tells how a layer is compressed. Foreign (non-distributable) layers are refused: their URLs lead a client to
// hosts of the image's choice (CVE-2020-15157), and registries hold the blobs themselves since 2022.
func compressionOf(mediaType string) (compression, error) {
	if c, ok := layerTypes[mediaType]; ok {
		return c, nil
	}
	if strings.Contains(mediaType, "nondistributable") || strings.Contains(mediaType, "foreign") {
		return 0, fmt.Errorf("%w: foreign layers are not supported", ErrInvalid)
	}
	return 0, fmt.Errorf("%w: layer of unknown type %q", ErrInvalid, clip(mediaType))
}

// decompress returns the uncompressed stream of r, which is compressed in whichever way its first bytes say, and refuses to
// let it grow out of proportion. Everything happens in this process: no xz or unpigz of a PATH is run (CVE-2019-14271).
func decompress(r io.Reader) (io.ReadCloser, compression, error) {
	in := &counter{r: r}
	b := bufio.NewReaderSize(in, 64<<10)
	head, err := b.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	kind := sniff(head)
	d, err := decompressor(b, kind)
	if err != nil {
		return nil, 0, in.blame(err)
	}
	if kind == uncompressed {
		return d, kind, nil
	}
	return &bounded{ReadCloser: d, in: in}, kind, nil
}

func decompressor(r io.Reader, kind compression) (io.ReadCloser, error) {
	switch kind {
	case gzipped:
		return gzip.NewReader(r)
	case zstandard:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bzipped:
		return io.NopCloser(bzip2.NewReader(r)), nil
	case xzipped:
		d, err := xz.NewReader(r, maxWindow)
		return io.NopCloser(d), err
	case uncompressed:
	}
	return io.NopCloser(r), nil
}

// counter counts what is read through it.
type counter struct {
	r   io.Reader
	n   int64
	err error // why nothing more could be read
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// blame tells a stream that is broken from one that could not be read.
func (c *counter) blame(err error) error {
	if c.err != nil {
		return c.err
	}
	return fmt.Errorf("%w: decompress: %w", ErrInvalid, err)
}

// bounded ends a decompressed stream with an error when it is a bomb or broken.
type bounded struct {
	io.ReadCloser
	in  *counter
	out int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.out += int64(n)
	if b.out > freeGrowth && b.out/maxGrowth > b.in.n {
		return 0, fmt.Errorf("%w: %d compressed bytes grow to more than %d", ErrInvalid, b.in.n, b.out)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.in.blame(err)
	}
	return n, err
}

// Decompress returns the uncompressed stream of an archive, which is compressed in whichever way its first bytes say, under
// the terms of OpenLayer. The caller closes it.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	plain, _, err := decompress(r)
	return plain, err
}
