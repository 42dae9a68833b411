package format

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	api "github.com/moby/moby/api/types/container"

	"ctr/network"
)

// Container is a row of `ps`.
type Container struct {
	Summary api.Summary
	NoTrunc bool
	Now     time.Time
	// SizeOf measures the container's writable layer and its image, in bytes; it is called when .Size is asked for.
	SizeOf func() (rw, all int64)
}

// ID is the first 12 digits, or all.
func (c Container) ID() string {
	if c.NoTrunc {
		return c.Summary.ID
	}
	return TruncateID(c.Summary.ID)
}

// Names is the container's name.
func (c Container) Names() string {
	names := make([]string, len(c.Summary.Names))
	for i, n := range c.Summary.Names {
		names[i] = strings.TrimPrefix(n, "/")
	}
	return strings.Join(names, ",")
}

// Image is the image as the user named it.
func (c Container) Image() string {
	image := c.Summary.Image
	switch {
	case image == "":
		return "<no image>"
	case c.NoTrunc:
		return image
	case TruncateID(c.Summary.ImageID) == TruncateID(image):
		return TruncateID(image)
	}
	// Only the name is shown of name@digest.
	name, _, _ := strings.Cut(image, "@")
	return strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
}

// Command is the quoted command line.
func (c Container) Command() string {
	if c.NoTrunc {
		return strconv.Quote(c.Summary.Command)
	}
	return strconv.Quote(ellipsis(c.Summary.Command, 20))
}

// CreatedAt is when it was made, in the local zone.
func (c Container) CreatedAt() string { return time.Unix(c.Summary.Created, 0).String() }

// RunningFor is how long ago it was made.
func (c Container) RunningFor() string {
	return units.HumanDuration(c.Now.Sub(time.Unix(c.Summary.Created, 0))) + " ago"
}

// Ports are the published and exposed ports.
func (c Container) Ports() string { return ports(c.Summary.Ports) }

// State is one word.
func (c Container) State() string { return string(c.Summary.State) }

// Status is a line for people.
func (c Container) Status() string { return c.Summary.Status }

// Size is what the container wrote, and with its image.
func (c Container) Size() string {
	rw, all := c.Summary.SizeRw, c.Summary.SizeRootFs
	if c.SizeOf != nil {
		rw, all = c.SizeOf()
	}
	text := units.HumanSizeWithPrecision(float64(rw), 3)
	if all > 0 {
		text = fmt.Sprintf("%s (virtual %s)", text, units.HumanSizeWithPrecision(float64(all), 3))
	}
	return text
}

// Labels are name=value, sorted.
func (c Container) Labels() string { return labels(c.Summary.Labels) }

// Label is one label's value.
func (c Container) Label(name string) string { return c.Summary.Labels[name] }

// Mounts are the sources of the mounts.
func (c Container) Mounts() string {
	var names []string
	for _, m := range c.Summary.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if !c.NoTrunc {
			name = ellipsis(name, 15)
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// LocalVolumes is how many volumes it has.
func (c Container) LocalVolumes() string {
	n := 0
	for _, m := range c.Summary.Mounts {
		if m.Driver == "local" {
			n++
		}
	}
	return strconv.Itoa(n)
}

// Networks are the names of its networks.
func (c Container) Networks() string {
	if c.Summary.NetworkSettings == nil {
		return ""
	}
	var names []string
	for name := range c.Summary.NetworkSettings.Networks {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// Platform is empty: there is only this machine's, and Docker says nothing then.
func (c Container) Platform() string { return "" }

// HealthStatus is starting, healthy, unhealthy, or nothing.
func (c Container) HealthStatus() string {
	if c.Summary.Health == nil {
		return ""
	}
	return string(c.Summary.Health.Status)
}

// IPAddresses are NETWORK/ADDRESS, sorted.
func (c Container) IPAddresses() []string {
	list := []string{}
	if c.Summary.NetworkSettings == nil {
		return list
	}
	for name, e := range c.Summary.NetworkSettings.Networks {
		if e.IPAddress.IsValid() {
			list = append(list, name+"/"+e.IPAddress.String())
		}
		if e.GlobalIPv6Address.IsValid() {
			list = append(list, name+"/"+e.GlobalIPv6Address.String())
		}
	}
	slices.Sort(list)
	return list
}

// MarshalJSON makes {{json .}} print all fields.
func (c Container) MarshalJSON() ([]byte, error) { return rowJSON(c) }

// Image is a row of `images`: one name of an image.
type Image struct {
	Repo, TagName string // "<none>" when the image has no name
	ImageID       string
	ManifestID    string
	Created       time.Time
	Bytes         int64
	Users         int // containers
	// Shared and Unique are the bytes of the layers that other images have too, and of the others; nil: they were not counted.
	Shared, Unique *int64
	NoTrunc        bool
	Now            time.Time
}

// ID is the first 12 digits of the config's digest, or all of it.
func (i Image) ID() string {
	if i.NoTrunc {
		return i.ImageID
	}
	return TruncateID(i.ImageID)
}

// Repository is the name without its tag.
func (i Image) Repository() string { return i.Repo }

// Tag is the name's tag.
func (i Image) Tag() string { return i.TagName }

// Digest is the manifest's digest.
func (i Image) Digest() string {
	if i.ManifestID == "" {
		return "<none>"
	}
	return i.ManifestID
}

// CreatedSince is how old the image is.
func (i Image) CreatedSince() string {
	if i.Created.IsZero() || i.Created.Unix() == 0 {
		return "N/A"
	}
	return units.HumanDuration(i.Now.Sub(i.Created)) + " ago"
}

// CreatedAt is when the image was made, in the local zone.
func (i Image) CreatedAt() string { return time.Unix(i.Created.Unix(), 0).String() }

// Size is the size of the image.
func (i Image) Size() string { return units.HumanSizeWithPrecision(float64(i.Bytes), 3) }

// VirtualSize is the same as Size.
func (i Image) VirtualSize() string { return i.Size() }

// SharedSize is what it has in common with others.
func (i Image) SharedSize() string { return sizeOr(i.Shared) }

// UniqueSize is what it has alone.
func (i Image) UniqueSize() string { return sizeOr(i.Unique) }

func sizeOr(n *int64) string {
	if n == nil {
		return "N/A"
	}
	return units.HumanSizeWithPrecision(float64(*n), 3)
}

// Containers is how many containers use the image.
func (i Image) Containers() string { return strconv.Itoa(i.Users) }

// MarshalJSON makes {{json .}} print all fields.
func (i Image) MarshalJSON() ([]byte, error) { return rowJSON(i) }

// Network is a row of `network ls`.
type Network struct {
	Spec    network.Spec
	NoTrunc bool
}

// ID is the first 12 digits, or all.
func (n Network) ID() string {
	if n.NoTrunc {
		return n.Spec.ID
	}
	return TruncateID(n.Spec.ID)
}

// Name is the network's name.
func (n Network) Name() string { return n.Spec.Name }

// Driver is the driver; that of the network none is "null", as in Docker.
func (n Network) Driver() string {
	if n.Spec.Driver == "none" {
		return "null"
	}
	return n.Spec.Driver
}

// Scope is always local.
func (n Network) Scope() string { return "local" }

// IPv4 tells whether endpoints get an IPv4 address.
func (n Network) IPv4() string { return strconv.FormatBool(n.Spec.IPv4) }

// IPv6 tells whether endpoints get an IPv6 address.
func (n Network) IPv6() string { return strconv.FormatBool(n.Spec.IPv6) }

// Internal tells whether there is no way out.
func (n Network) Internal() string { return strconv.FormatBool(n.Spec.Internal) }

// Labels are name=value, sorted.
func (n Network) Labels() string { return labels(n.Spec.Labels) }

// Label is one label's value.
func (n Network) Label(name string) string { return n.Spec.Labels[name] }

// CreatedAt is when the network was made, in the local zone.
func (n Network) CreatedAt() string { return n.Spec.Created.Local().String() }

// MarshalJSON makes {{json .}} print all fields.
func (n Network) MarshalJSON() ([]byte, error) { return rowJSON(n) }

func labels(m map[string]string) string {
	list := make([]string, 0, len(m))
	for k, v := range m {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}
