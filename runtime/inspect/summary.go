package inspect

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	api "github.com/moby/moby/api/types/container"

	"ctr/runtime/container"
)

// Summary returns what `ctr ps` shows of a container.
func (c Container) Summary(now time.Time) api.Summary {
	s := &c.Spec
	image := s.Image.Ref
	switch {
	case image == "" && s.Rootfs.Dir != "":
		image = s.Rootfs.Dir
	case c.ImageMoved != nil && c.ImageMoved(s.Image):
		image = s.Image.ID
	}
	out := api.Summary{
		ID:              s.ID,
		Names:           []string{"/" + s.Name},
		Image:           image,
		ImageID:         s.Image.ID,
		Command:         commandLine(slices.Concat(s.Entrypoint, s.Cmd)),
		Created:         s.Created.Unix(),
		Ports:           c.portSummaries(),
		Labels:          table(s.Labels),
		State:           api.ContainerState(c.State.Status),
		Status:          Status(c.State, now),
		NetworkSettings: &api.NetworkSettingsSummary{Networks: c.networkSettings().Networks},
		Mounts:          c.mountPoints(),
	}
	out.HostConfig.NetworkMode = string(c.networkMode())
	if h := c.State.Health; h != nil && c.State.Running() {
		out.Health = &api.HealthSummary{Status: api.HealthStatus(h.Status), FailingStreak: h.FailingStreak}
	}
	return out
}

// commandLine is the program and its arguments as Docker lists them: an argument with a space in it stands in quotes.
func commandLine(argv []string) string {
	words := slices.Clone(argv)
	for i, word := range words {
		if i > 0 && strings.Contains(word, " ") {
			words[i] = "'" + word + "'"
		}
	}
	return strings.Join(words, " ")
}

// Status is the line for people that `ps` shows, in Docker's words.
func Status(s container.State, now time.Time) string {
	switch s.Status {
	case container.Running, container.Paused:
		text := "Up " + units.HumanDuration(now.Sub(s.StartedAt))
		switch {
		case s.Status == container.Paused:
			return text + " (Paused)"
		case s.Health != nil && s.Health.Status == container.Starting:
			return text + " (health: starting)"
		case s.Health != nil:
			return text + " (" + s.Health.Status + ")"
		}
		return text
	case container.Restarting:
		return "Restarting (" + strconv.Itoa(s.ExitCode) + ") " + units.HumanDuration(now.Sub(s.FinishedAt)) + " ago"
	case container.Exited:
		text := "Exited (" + strconv.Itoa(s.ExitCode) + ")"
		if s.FinishedAt.IsZero() {
			return text
		}
		return text + " " + units.HumanDuration(now.Sub(s.FinishedAt)) + " ago"
	case container.Removing:
		return "Removal In Progress"
	case container.Dead:
		return "Dead"
	case container.Created:
	}
	return "Created"
}
