package inspect

import (
	"time"

	apiimage "github.com/moby/moby/api/types/image"

	"ctr/images"
)

// Image returns what `ctr image inspect` shows of an image of so many bytes.
func Image(i images.Image, size int64) apiimage.InspectResponse {
	r := apiimage.InspectResponse{
		ID:           i.ID,
		RepoTags:     list(i.Names),
		RepoDigests:  list(i.RepoDigests),
		Author:       i.Config.Author,
		Config:       &i.Config.Config,
		Architecture: i.Config.Architecture,
		Variant:      i.Config.Variant,
		Os:           i.Config.OS,
		OsVersion:    i.Config.OSVersion,
		Size:         size,
		RootFS:       apiimage.RootFS{Type: "layers"},
	}
	if !i.Created.IsZero() {
		r.Created = i.Created.UTC().Format(time.RFC3339Nano)
	}
	if n := len(i.Config.History); n > 0 {
		r.Comment = i.Config.History[n-1].Comment
	}
	for _, l := range i.Layers {
		r.RootFS.Layers = append(r.RootFS.Layers, l.DiffID)
	}
	return r
}
