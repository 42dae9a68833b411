package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	api "github.com/moby/moby/api/types/container"

	"ctr/cmd/ctr/internal/format"
	"ctr/cmd/ctr/internal/options"
	"ctr/images"
	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// filters are --filter by key. Values of one key are alternatives, keys must all match; labels must all match too.
type filters map[string][]string

func parseFilters(texts, known []string) (filters, error) {
	f := filters{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok {
			return nil, options.Invalid(text, "-f, --filter", fmt.Errorf("invalid filter '%s': must be in KEY=VALUE format", text))
		}
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("invalid filter '%s'", key)
		}
		f[key] = append(f[key], strings.TrimSpace(value))
	}
	return f, nil
}

// any tells whether a value of the key matches; without the key, everything does.
func (f filters) any(key string, match func(string) bool) bool {
	return len(f[key]) == 0 || slices.ContainsFunc(f[key], match)
}

// boolean is a key whose value is true or false; nil: it was not given.
func (f filters) boolean(key string) (*bool, error) {
	if len(f[key]) == 0 {
		return nil, nil
	}
	on, err := strconv.ParseBool(f[key][0])
	if err != nil {
		return nil, fmt.Errorf("invalid filter '%s=%s'", key, f[key][0])
	}
	return &on, nil
}

// labels tells whether all labels asked for are there: NAME, or NAME=VALUE.
func (f filters) labels(have map[string]string) bool {
	for _, want := range f["label"] {
		name, value, hasValue := strings.Cut(want, "=")
		got, ok := have[name]
		if !ok || hasValue && got != value {
			return false
		}
	}
	return true
}

// patterns compiles the values of a key as regular expressions, as Docker takes them.
func (f filters) patterns(key string) ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for _, v := range f[key] {
		re, err := regexp.Compile(v)
		if err != nil {
			return nil, fmt.Errorf("invalid filter '%s=%s': %w", key, v, err)
		}
		all = append(all, re)
	}
	return all, nil
}

func matchAny(patterns []*regexp.Regexp, texts ...string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, re := range patterns {
		if slices.ContainsFunc(texts, re.MatchString) {
			return true
		}
	}
	return false
}

var psKeys = []string{
	"id", "name", "label", "exited", "status", "ancestor", "before", "since", "volume", "network", "publish", "expose", "health",
	"is-task", "isolation",
}

// containerFilters is the test for `ps`. Without all, only running containers pass, unless a key asks for others.
func containerFilters(in *lifecycle.Installation, v *viewer, texts []string, all bool) (func(summary) bool, error) {
	f, err := parseFilters(texts, psKeys)
	if err != nil {
		return nil, err
	}
	names, err := f.patterns("name")
	if err != nil {
		return nil, err
	}
	var exited []int
	for _, text := range f["exited"] {
		code, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("invalid filter 'exited=%s'", text)
		}
		exited = append(exited, code)
	}
	for _, text := range f["status"] {
		if !slices.Contains([]container.Status{
			container.Created, container.Running, container.Paused, container.Restarting, container.Removing, container.Exited, container.Dead,
		}, container.Status(text)) {
			return nil, fmt.Errorf("invalid filter 'status=%s'", text)
		}
	}
	for _, text := range f["health"] {
		if !slices.Contains([]string{"none", "starting", "healthy", "unhealthy"}, text) {
			return nil, fmt.Errorf("invalid filter 'health=%s'", text)
		}
	}
	task, err := f.boolean("is-task")
	if err != nil {
		return nil, err
	}
	times, err := f.creation(in)
	if err != nil {
		return nil, err
	}
	ancestors := f.ancestors(in)
	ports, err := f.ports()
	if err != nil {
		return nil, err
	}
	all = all || len(f["status"]) > 0 || len(f["exited"]) > 0
	return func(s summary) bool {
		return (all || s.state.Active()) &&
			f.any("id", func(id string) bool { return strings.HasPrefix(s.ID, id) }) &&
			matchAny(names, s.container.Name, "/"+s.container.Name) &&
			f.labels(s.Labels) &&
			(len(exited) == 0 || s.state.Status == container.Exited && slices.Contains(exited, s.state.ExitCode)) &&
			f.any("status", func(w string) bool { return string(s.State) == w }) &&
			f.any("health", func(w string) bool { return w == healthWord(s.state.Health) }) &&
			(task == nil || !*task) && // Docker's swarm has tasks
			f.any("volume", s.hasVolume) &&
			f.any("network", func(n string) bool { return s.onNetwork(v, n) }) &&
			ancestors(s) && times(s.container.Created) && ports(s)
	}, nil
}

func (s summary) hasVolume(want string) bool {
	for _, m := range s.Mounts {
		if m.Name == want || m.Destination == want || m.Source == want {
			return true
		}
	}
	return false
}

func (s summary) onNetwork(v *viewer, want string) bool {
	for name, e := range s.NetworkSettings.Networks {
		if name == want || len(want) >= 4 && e.NetworkID != "" && strings.HasPrefix(e.NetworkID, want) || v.ids[want] != "" && v.ids[want] == e.NetworkID {
			return true
		}
	}
	return false
}

// creation is the test for before= and since=, whose values are containers.
func (f filters) creation(in *lifecycle.Installation) (func(time.Time) bool, error) {
	var before, since time.Time
	for key, to := range map[string]*time.Time{"before": &before, "since": &since} {
		for _, name := range f[key] {
			c, err := in.Find(name)
			if err != nil {
				return nil, err
			}
			*to = c.Created
		}
	}
	return func(t time.Time) bool {
		return (before.IsZero() || t.Before(before)) && (since.IsZero() || t.After(since))
	}, nil
}

// ancestors is the test for ancestor=: an image, by name or ID, or one that it was built on.
func (f filters) ancestors(in *lifecycle.Installation) func(summary) bool {
	if len(f["ancestor"]) == 0 {
		return func(summary) bool { return true }
	}
	var found []images.Image
	for _, name := range f["ancestor"] {
		if i, err := in.Images.Find(name); err == nil {
			found = append(found, i)
		}
	}
	return func(s summary) bool {
		return slices.ContainsFunc(found, func(i images.Image) bool {
			if i.ID == s.ImageID {
				return true
			}
			layers := s.container.Rootfs.Layers
			n := len(i.Layers)
			return n > 0 && n <= len(layers) && layers[n-1] == i.Layers[n-1].ChainID
		})
	}
}

// ports is the test for publish= and expose=: PORT[-PORT][/PROTOCOL].
func (f filters) ports() (func(summary) bool, error) {
	wanted := map[string][]network.Expose{}
	for _, key := range []string{"publish", "expose"} {
		if len(f[key]) == 0 {
			continue
		}
		ports, err := options.Expose(f[key])
		if err != nil {
			return nil, fmt.Errorf("invalid filter '%s=%s'", key, strings.Join(f[key], ","))
		}
		wanted[key] = ports
	}
	return func(s summary) bool {
		n := s.container.Network
		published := slices.ContainsFunc(n.Ports, func(p network.Port) bool {
			return slices.Contains(wanted["publish"], network.Expose{Protocol: p.Protocol, Port: p.HostPort})
		}) || slices.ContainsFunc(s.Ports, func(p api.PortSummary) bool { // those that the kernel chose
			return slices.Contains(wanted["publish"], network.Expose{Protocol: network.Protocol(p.Type), Port: p.PublicPort})
		})
		exposed := slices.ContainsFunc(n.Exposed(), func(e network.Expose) bool { return slices.Contains(wanted["expose"], e) })
		return (wanted["publish"] == nil || published) && (wanted["expose"] == nil || exposed)
	}, nil
}

// imageFilters is the test for `images`, of an image and one of its names ("" for none).
func imageFilters(in *lifecycle.Installation, texts []string) (func(images.Image, string) bool, error) {
	f, err := parseFilters(texts, []string{"dangling", "label", "before", "since", "reference"})
	if err != nil {
		return nil, err
	}
	dangling, err := f.boolean("dangling")
	if err != nil {
		return nil, err
	}
	var before, since time.Time
	for key, to := range map[string]*time.Time{"before": &before, "since": &since} {
		for _, name := range f[key] {
			i, err := in.Images.Find(name)
			if err != nil {
				return nil, err
			}
			*to = i.Created
		}
	}
	return func(i images.Image, name string) bool {
		return (dangling == nil || *dangling == (len(i.Names) == 0)) && f.labels(i.Config.Config.Labels) &&
			(before.IsZero() || i.Created.Before(before)) && (since.IsZero() || i.Created.After(since)) &&
			f.any("reference", func(pattern string) bool { return matchReference(pattern, name) })
	}, nil
}

// matchReference tells whether a name, with or without its tag, matches a pattern of a shell.
func matchReference(pattern, name string) bool {
	repo, _ := splitTag(name)
	for _, text := range []string{name, repo} {
		if ok, err := path.Match(pattern, text); err == nil && ok {
			return true
		}
	}
	return false
}

// networkFilters is the test for `network ls`.
func networkFilters(in *lifecycle.Installation, texts []string) (func(network.Spec) bool, error) {
	f, err := parseFilters(texts, []string{"dangling", "driver", "id", "label", "name", "scope", "type"})
	if err != nil {
		return nil, err
	}
	dangling, err := f.boolean("dangling")
	if err != nil {
		return nil, err
	}
	for _, kind := range f["type"] {
		if kind != "builtin" && kind != "custom" {
			return nil, fmt.Errorf("invalid filter: 'type'='%s'", kind)
		}
	}
	ids, err := f.patterns("id")
	if err != nil {
		return nil, err
	}
	names, err := f.patterns("name")
	if err != nil {
		return nil, err
	}
	return func(n network.Spec) bool {
		driver := format.Network{Spec: n}.Driver()
		if dangling != nil {
			users, err := in.Networks.Users(n.ID)
			if idle := err == nil && len(users) == 0 && !predefined(n.Name); idle != *dangling {
				return false
			}
		}
		return f.labels(n.Labels) &&
			f.any("driver", func(w string) bool { return w == driver }) &&
			matchAny(ids, n.ID) && matchAny(names, n.Name) &&
			f.any("scope", func(w string) bool { return w == "local" }) &&
			f.any("type", func(w string) bool { return (w == "builtin") == predefined(n.Name) })
	}, nil
}

// predefined tells whether a network always exists.
func predefined(name string) bool { return name == "bridge" || name == "host" || name == "none" }

func healthWord(h *container.Health) string {
	if h == nil {
		return "none"
	}
	return h.Status
}
