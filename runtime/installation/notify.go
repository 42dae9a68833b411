package installation

import (
	"maps"
	"strconv"

	"ctr/network"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/events"
)

// Notify writes in the journal that something has happened to a container, with more to tell about it as NAME, VALUE pairs. A
// journal that cannot be written is no error of what happened.
func (in *Installation) Notify(c *container.Container, action string, more ...string) {
	attributes := map[string]string{}
	maps.Copy(attributes, c.Labels)
	attributes["image"], attributes["name"] = c.Image.Ref, c.Name
	in.note(events.Container, action, c.ID, attributes, more)
}

// NotifySize does so when a container's terminal gets a size.
func (in *Installation) NotifySize(c *container.Container, size attach.Size) {
	in.Notify(c, "resize", "height", strconv.Itoa(int(size.Height)), "width", strconv.Itoa(int(size.Width)))
}

// NotifyNetworks does so for the networks that a container's run takes, or gives back.
func (in *Installation) NotifyNetworks(c *container.Container, action string, endpoints []network.Endpoint) {
	for _, e := range endpoints {
		driver := ""
		if s, err := in.Networks.Find(e.Network); err == nil {
			driver = s.Driver
		}
		in.NotifyOf(events.Network, action, e.Network, "container", c.ID, "name", e.Name, "type", driver)
	}
}

// NotifyVolumes does so for its volumes.
func (in *Installation) NotifyVolumes(c *container.Container, action string) {
	for _, m := range c.Mounts {
		if m.Type == container.MountVolume {
			in.NotifyOf(events.Volume, action, m.Source,
				"container", c.ID, "driver", "local", "destination", m.Target, "read/write", strconv.FormatBool(!m.ReadOnly))
		}
	}
}

// NotifyOf does so for an image, a network or a volume.
func (in *Installation) NotifyOf(t events.Type, action, id string, more ...string) {
	in.note(t, action, id, map[string]string{}, more)
}

func (in *Installation) note(t events.Type, action, id string, attributes map[string]string, more []string) {
	for i := 0; i+1 < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	_ = in.Events.Write(t, action, id, attributes)
}
