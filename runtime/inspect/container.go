package inspect

import (
	"strings"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/storage"

	"ctr/network"
	"ctr/runtime/container"
)

// Container is all that is known of a container.
type Container struct {
	Spec    container.Spec
	State   container.State
	Record  *network.Record // of its running sandbox; nil: none
	Dir     string          // its folder under the data root
	LogPath string
	// MaskedPaths are hidden from its programs, ReadonlyPaths cannot be written.
	MaskedPaths, ReadonlyPaths []string
	// VolumePath gives the folder of a volume.
	VolumePath func(name string) string
	// NetworkName gives the name of a network by its ID, empty if there is none any more.
	NetworkName func(id string) string
	// NetworkID gives the ID of a network by its name, empty if there is none.
	NetworkID func(name string) string
	// ImageMoved tells whether the word that the user took the image by means another one now, or none. Then Summary shows the ID,
	// as Docker does: the container is not of the image that has the name. Nil: it is not asked.
	ImageMoved func(container.Image) bool
}

// Response is what Docker's API tells of a container, with the network settings that it had until version 29.
type Response struct {
	api.InspectResponse
	NetworkSettings *NetworkSettings
}

// Inspect returns what `ctr container inspect` shows.
func (c Container) Inspect() Response {
	s := &c.Spec
	path, args := "", append(append([]string{}, s.Entrypoint...), s.Cmd...)
	if len(args) > 0 {
		path, args = args[0], args[1:]
	}
	r := api.InspectResponse{
		ID:              s.ID,
		Created:         s.Created.UTC().Format(time.RFC3339Nano),
		Path:            path,
		Args:            args,
		State:           c.state(),
		Image:           s.Image.ID,
		ResolvConfPath:  c.Dir + "/resolv.conf",
		HostnamePath:    c.Dir + "/hostname",
		HostsPath:       c.Dir + "/hosts",
		LogPath:         c.LogPath,
		Name:            "/" + s.Name,
		RestartCount:    c.State.Restarts,
		Driver:          "overlay2",
		Platform:        "linux",
		AppArmorProfile: s.Security.AppArmor,
		HostConfig:      c.hostConfig(),
		Mounts:          c.mountPoints(),
		Config:          c.config(),
	}
	if s.Rootfs.Dir == "" {
		r.GraphDriver = &storage.DriverData{Name: "overlay2", Data: map[string]string{
			"ID": s.ID, "UpperDir": c.Dir + "/upper", "WorkDir": c.Dir + "/work",
		}}
	}
	if len(s.Network.Mode) > 0 && strings.HasPrefix(string(s.Network.Mode), string(container.ModeContainer)) {
		r.ResolvConfPath, r.HostnamePath, r.HostsPath = "", "", ""
	}
	return Response{InspectResponse: r, NetworkSettings: c.networkSettings()}
}

func (c Container) state() *api.State {
	s := c.State
	st := &api.State{
		Status:     api.ContainerState(s.Status),
		Running:    s.Active(),
		Paused:     s.Status == container.Paused,
		Restarting: s.Status == container.Restarting,
		OOMKilled:  s.OOMKilled,
		Dead:       s.Status == container.Dead,
		Pid:        s.PID,
		ExitCode:   s.ExitCode,
		Error:      s.Error,
		StartedAt:  s.StartedAt.UTC().Format(time.RFC3339Nano),
		FinishedAt: s.FinishedAt.UTC().Format(time.RFC3339Nano),
	}
	if h := s.Health; h != nil {
		st.Health = &api.Health{Status: api.HealthStatus(h.Status), FailingStreak: h.FailingStreak, Log: []*api.HealthcheckResult{}}
		for _, p := range h.Log {
			st.Health.Log = append(st.Health.Log, &api.HealthcheckResult{Start: p.Start, End: p.End, ExitCode: p.ExitCode, Output: p.Output})
		}
	}
	return st
}

func (c Container) config() *api.Config {
	s := &c.Spec
	cfg := &api.Config{
		Hostname:     s.Hostname,
		Domainname:   s.Domainname,
		User:         s.User,
		AttachStdin:  s.Attach.Stdin,
		AttachStdout: s.Attach.Stdout,
		AttachStderr: s.Attach.Stderr,
		ExposedPorts: exposed(s.Network),
		Tty:          s.TTY,
		OpenStdin:    s.OpenStdin,
		StdinOnce:    s.StdinOnce,
		Env:          list(s.Env),
		Cmd:          s.Cmd,
		Healthcheck:  healthcheck(s.Health),
		Image:        s.Image.Ref,
		WorkingDir:   s.WorkDir,
		Entrypoint:   s.Entrypoint,
		Labels:       table(s.Labels),
		StopSignal:   s.StopSignal,
		StopTimeout:  s.StopTimeout,
	}
	for _, m := range s.Mounts {
		if m.Anonymous {
			if cfg.Volumes == nil {
				cfg.Volumes = map[string]struct{}{}
			}
			cfg.Volumes[m.Target] = struct{}{}
		}
	}
	if cfg.Hostname == "" && s.Namespaces.UTS == container.ModePrivate && !strings.HasPrefix(string(s.Network.Mode), string(container.ModeContainer)) {
		cfg.Hostname = shortID(s.ID)
	}
	return cfg
}

func healthcheck(h *container.HealthCheck) *api.HealthConfig {
	if h == nil {
		return nil
	}
	return &api.HealthConfig{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
	}
}

// mountPoints are the mounts as they are in the container, without those of --tmpfs, as in Docker.
func (c Container) mountPoints() []api.MountPoint {
	points := []api.MountPoint{}
	for _, m := range c.Spec.Mounts {
		if m.Type == container.MountTmpfs && m.CreateSource {
			continue
		}
		p := api.MountPoint{Type: mount.Type(m.Type), Source: m.Source, Destination: m.Target, RW: !m.ReadOnly}
		switch m.Type {
		case container.MountBind:
			p.Propagation = mount.Propagation(m.Propagation)
			if p.Propagation == "" {
				p.Propagation = mount.PropagationRPrivate
			}
		case container.MountVolume:
			p.Name, p.Source, p.Driver = m.Source, "", "local"
			if c.VolumePath != nil && m.Source != "" {
				p.Source = c.VolumePath(m.Source)
			}
			if !m.Anonymous {
				p.Mode = "z"
			}
		case container.MountTmpfs:
			p.Mode = strings.Join(m.Options, ",")
		}
		points = append(points, p)
	}
	return points
}

func shortID(id string) string { return id[:min(12, len(id))] }

// list makes JSON show [] for no elements, where Docker does.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// table makes JSON show {} for no elements, where Docker does.
func table(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
