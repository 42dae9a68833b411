package logs

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// maxFiles bounds how many rotated files a reader looks for.
const maxFiles = 1000

// openChain opens the files of a log, the oldest first, from the one after the file `after` on; nil: all that there are. If
// `after` was thrown away by now, all files are opened, and the caller has missed what was.
//
// The writer may rotate meanwhile. A rotation moves each file one number up, so going from the newest to the oldest may meet
// a file twice, which is seen and skipped, and never passes one by.
func openChain(path string, after os.FileInfo) (chain []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(chain)
			chain = nil
		}
	}()
	var last os.FileInfo
	for n, missing := 0, 0; n < maxFiles; n++ {
		f, err := os.Open(rotated(path, n))
		if errors.Is(err, os.ErrNotExist) {
			// While a rotation is under way one number is free for a moment.
			if missing++; missing > 1 {
				break
			}
			continue
		}
		if err != nil {
			return chain, fmt.Errorf("open log: %w", err)
		}
		missing = 0
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return chain, fmt.Errorf("open log: %w", err)
		}
		if after != nil && os.SameFile(info, after) {
			f.Close()
			break
		}
		if last != nil && os.SameFile(info, last) {
			f.Close()
			continue
		}
		last = info
		chain = append([]*os.File{f}, chain...)
	}
	return chain, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// tailBlock is how much of a file is read at once on the way back from its end.
const tailBlock = 64 << 10

// seekTail returns where the last n lines of the first size bytes of f begin, and how many of them there are (fewer than n
// when the file holds fewer). It reads no more than these lines. An unfinished line at the end is none.
func seekTail(f *os.File, size int64, n int) (offset int64, lines int, err error) {
	if n <= 0 {
		return size, 0, nil
	}
	block := make([]byte, min(tailBlock, size))
	newlines := 0
	for end := size; end > 0; {
		start := max(0, end-int64(len(block)))
		part := block[:end-start]
		if _, err := f.ReadAt(part, start); err != nil {
			return 0, 0, fmt.Errorf("read log: %w", err)
		}
		for i, b := range slices.Backward(part) {
			if b != '\n' {
				continue
			}
			if newlines++; newlines > n {
				return start + int64(i) + 1, n, nil
			}
		}
		end = start
	}
	return 0, newlines, nil
}
