package inspect

import (
	"time"

	apivolume "github.com/moby/moby/api/types/volume"

	"ctr/runtime/volume"
)

// Volume returns what `ctr volume inspect` shows.
func Volume(v *volume.Volume) apivolume.Volume {
	return apivolume.Volume{
		CreatedAt: v.Created.Format(time.RFC3339), Driver: "local", Labels: v.Labels, Mountpoint: v.Path(), Name: v.Name, Scope: "local",
		Options: v.Options,
	}
}
