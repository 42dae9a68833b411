package lifecycle

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"ctr/images"
	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/events"
	"ctr/runtime/volume"
)

// applyImage merges an image's configuration into what the user asked for, who has the last word, as Docker does.
func applyImage(spec *container.Spec, image images.Image) error {
	cfg := image.Config.Config
	spec.Image.ID = image.ID
	for _, layer := range image.Layers {
		spec.Rootfs.Layers = append(spec.Rootfs.Layers, layer.ChainID)
	}
	if spec.Entrypoint == nil {
		spec.Entrypoint = cfg.Entrypoint
		if len(spec.Cmd) == 0 {
			spec.Cmd = cfg.Cmd
		}
	}
	spec.Env = mergeEnv(cfg.Env, spec.Env)
	spec.WorkDir = firstOf(spec.WorkDir, cfg.WorkingDir)
	spec.User = firstOf(spec.User, cfg.User)
	spec.StopSignal = firstOf(spec.StopSignal, cfg.StopSignal)
	labels := maps.Clone(cfg.Labels)
	if labels == nil {
		labels = make(map[string]string, len(spec.Labels))
	}
	maps.Copy(labels, spec.Labels)
	spec.Labels = labels
	if cfg.Healthcheck != nil {
		health := container.HealthCheck{
			Test: cfg.Healthcheck.Test, Interval: cfg.Healthcheck.Interval, Timeout: cfg.Healthcheck.Timeout,
			StartPeriod: cfg.Healthcheck.StartPeriod, StartInterval: cfg.Healthcheck.StartInterval, Retries: cfg.Healthcheck.Retries,
		}
		if spec.Health != nil {
			health = spec.Health.Merge(health)
		}
		spec.Health = &health
	}
	applyVolumes(spec, cfg.Volumes)
	return applyPorts(spec, cfg.ExposedPorts)
}

// mergeEnv returns the image's variables with those that the user set in their place, and the user's others after them.
func mergeEnv(image, user []string) []string {
	merged := slices.Clone(image)
	for _, kv := range user {
		name, _, _ := strings.Cut(kv, "=")
		i := slices.IndexFunc(merged, func(s string) bool { return strings.HasPrefix(s, name+"=") })
		if i >= 0 {
			merged[i] = kv
		} else {
			merged = append(merged, kv)
		}
	}
	return merged
}

// applyVolumes gives each place that the image calls a volume one of its own, unless the user mounts something there.
func applyVolumes(spec *container.Spec, volumes map[string]struct{}) {
	for _, target := range slices.Sorted(maps.Keys(volumes)) {
		taken := slices.ContainsFunc(spec.Mounts, func(m container.Mount) bool { return path.Clean(m.Target) == path.Clean(target) })
		if !taken {
			spec.Mounts = append(spec.Mounts, container.Mount{
				Type: container.MountVolume, Source: volume.NewName(), Target: target, Anonymous: true,
			})
		}
	}
}

// applyPorts adds what the image exposes, and publishes all of it on free ports for -P.
func applyPorts(spec *container.Spec, exposed map[string]struct{}) error {
	n := &spec.Network
	for _, s := range slices.Sorted(maps.Keys(exposed)) {
		e, err := parseExposed(s)
		if err != nil {
			return err
		}
		if !slices.Contains(n.Expose, e) {
			n.Expose = append(n.Expose, e)
		}
	}
	if !n.PublishAll {
		return nil
	}
	for _, e := range n.Expose {
		published := slices.ContainsFunc(n.Ports, func(p network.Port) bool { return p.Expose() == e })
		if !published {
			n.Ports = append(n.Ports, network.Port{Protocol: e.Protocol, ContainerPort: e.Port})
		}
	}
	return nil
}

// parseExposed reads an image's PORT[/PROTOCOL].
func parseExposed(s string) (network.Expose, error) {
	port, protocol, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return network.Expose{}, fmt.Errorf("image exposes %q: %w", s, errors.New("invalid port"))
	}
	e := network.Expose{Port: uint16(n), Protocol: network.Protocol(firstOf(protocol, string(network.TCP)))}
	switch e.Protocol {
	case network.TCP, network.UDP, network.SCTP:
		return e, nil
	}
	return e, fmt.Errorf("image exposes %q: invalid protocol", s)
}

// LayerSize is how many bytes a layer takes: packed, as it came, and unpacked once a container was made of it.
func (in *Installation) LayerSize(l images.Layer) int64 { return l.Size + in.Layers.Size(l.ChainID) }

// ImageSize is how many bytes an image's layers take, also those that it has in common with others.
func (in *Installation) ImageSize(i images.Image) int64 {
	var sum int64
	for _, l := range i.Layers {
		sum += in.LayerSize(l)
	}
	return sum
}

// NotifyTag writes in the journal that an image has got a name.
func (in *Installation) NotifyTag(name string) {
	ref, err := images.ParseReference(name)
	if err != nil {
		return
	}
	if image, err := in.Images.Find(name); err == nil {
		in.NotifyOf(events.Image, "tag", image.ID, "name", ref.WithDefaultTag().Familiar())
	}
}
