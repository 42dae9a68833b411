package format

import (
	"strconv"

	"github.com/docker/go-units"

	"ctr/runtime/volume"
)

// Volume is a row of `volume ls`.
type Volume struct {
	Spec   volume.Spec
	Path   string
	SizeOf func() int64 // measures the volume, in bytes; it is called when .Size is asked for
	Users  int          // containers
}

// Name is the volume's name.
func (v Volume) Name() string { return v.Spec.Name }

// Driver is always local.
func (v Volume) Driver() string { return "local" }

// Scope is always local.
func (v Volume) Scope() string { return "local" }

// Mountpoint is the folder that containers mount.
func (v Volume) Mountpoint() string { return v.Path }

// Labels are name=value, sorted.
func (v Volume) Labels() string { return labels(v.Spec.Labels) }

// Label is one label's value.
func (v Volume) Label(name string) string { return v.Spec.Labels[name] }

// Links is how many containers have it.
func (v Volume) Links() string { return strconv.Itoa(v.Users) }

// Status has no meaning here, nor have Availability and Group: Docker has them for clusters.
func (v Volume) Status() string { return "N/A" }

// Availability is for clusters.
func (v Volume) Availability() string { return "N/A" }

// Group is for clusters.
func (v Volume) Group() string { return "N/A" }

// Size is what the files take.
func (v Volume) Size() string { return units.HumanSizeWithPrecision(float64(v.SizeOf()), 3) }

// MarshalJSON makes {{json .}} print all fields.
func (v Volume) MarshalJSON() ([]byte, error) { return rowJSON(v) }

// DiskUsage is a row of `system df`.
type DiskUsage struct {
	Kind                string
	All, Used           int
	Bytes, ReclaimBytes int64
}

// Type is the kind of things.
func (d DiskUsage) Type() string { return d.Kind }

// TotalCount is how many there are.
func (d DiskUsage) TotalCount() int { return d.All }

// Active is how many are in use.
func (d DiskUsage) Active() int { return d.Used }

// Size is what they take.
func (d DiskUsage) Size() string { return units.HumanSizeWithPrecision(float64(d.Bytes), 3) }

// Reclaimable is what prune would give back.
func (d DiskUsage) Reclaimable() string {
	text := units.HumanSizeWithPrecision(float64(d.ReclaimBytes), 3)
	if d.Bytes > 0 {
		text += " (" + strconv.FormatInt(d.ReclaimBytes*100/d.Bytes, 10) + "%)"
	}
	return text
}

// MarshalJSON makes {{json .}} print all fields.
func (d DiskUsage) MarshalJSON() ([]byte, error) { return rowJSON(d) }
