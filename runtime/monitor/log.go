package monitor

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"ctr/runtime/container"
	"ctr/runtime/keep"
	"ctr/runtime/logs"
)

// keptLog is where the container's output goes.
func keptLog(c *container.Container) keep.Log {
	switch c.Log.Driver {
	case "none":
		return keep.Log{}
	case "journald":
		o := &logs.JournalOptions{ID: c.ID, Name: c.Name, Image: c.Image.Ref}
		attrs := logAttributes(c)
		o.Tag = attrs["tag"]
		delete(attrs, "tag")
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			if field := journalField(name); field != "" && !strings.Contains(attrs[name], "\n") {
				o.Extra += field + "=" + attrs[name] + "\n"
			}
		}
		return keep.Log{Journal: o}
	}
	o := logs.Options{MaxSize: c.Log.MaxSize, MaxFile: c.Log.MaxFile}
	if attrs := logAttributes(c); len(attrs) > 0 {
		text, _ := json.Marshal(attrs) // strings
		o.Attrs = string(text)
	}
	return keep.Log{Path: c.LogPath(), Options: o}
}

// logAttributes are what each entry of the log carries with it: the labels and variables that --log-opt asks for, and the tag.
func logAttributes(c *container.Container) map[string]string {
	attrs := map[string]string{}
	if len(c.Log.Options) == 0 {
		return attrs
	}
	env := map[string]string{}
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	for option, values := range map[string]map[string]string{"labels": c.Labels, "env": env} {
		names := strings.Split(c.Log.Options[option], ",")
		pattern, err := regexp.Compile(c.Log.Options[option+"-regex"])
		matching := err == nil && pattern.String() != ""
		for name, value := range values {
			if slices.Contains(names, name) || matching && pattern.MatchString(name) {
				attrs[name] = value
			}
		}
	}
	if tag := logTag(c); tag != "" {
		attrs["tag"] = tag
	}
	return attrs
}

// logTag is what --log-opt tag= makes of the container; empty if there is none.
func logTag(c *container.Container) string {
	t, err := template.New("").Parse(c.Log.Options["tag"])
	if err != nil {
		return "" // it was checked when the container was created
	}
	image := strings.TrimPrefix(c.Image.ID, "sha256:")
	var text strings.Builder
	err = t.Execute(&text, struct {
		ID, FullID, Name, ImageID, ImageFullID, ImageName, DaemonName string
	}{
		ID: c.ShortID(), FullID: c.ID, Name: c.Name, ImageID: container.Short(image), ImageFullID: image, ImageName: c.Image.Ref, DaemonName: "ctr",
	})
	if err != nil {
		return ""
	}
	return text.String()
}

// journalField makes a journal's field name of any other, as Docker does; empty if nothing of it can be one.
func journalField(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, name)
	return strings.TrimLeft(name, "_")
}
