package images

import (
	"context"
	"errors"
	"io"
)

var errPending = errors.New("pending")

type PullOptions struct {
	Platform string
	Progress func(Event)
}

type Event struct {
	Layer   string // the first 12 digits of the layer's digest; empty: the whole image
	Status  string // in Docker's words: "Downloading", "Pull complete", ...
	Current int64  // bytes
	Total   int64  // bytes
}

type ImportOptions struct {
	Changes  []string
	Message  string
	Platform string
}

type Loaded struct {
	ID    string
	Names []string
}

func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (Image, error) {
	return Image{}, errPending
}

func (s *Store) Import(ctx context.Context, r io.Reader, ref string, o ImportOptions) (Image, error) {
	return Image{}, errPending
}

func (s *Store) Load(ctx context.Context, r io.Reader) ([]Loaded, error) { return nil, errPending }

func (s *Store) Save(ctx context.Context, w io.Writer, refs []string) error { return errPending }

func (s *Store) Remove(ctx context.Context, ref string, force bool, inUse func(id string) []User) ([]Removed, error) {
	return nil, errPending
}
