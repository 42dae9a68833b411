package main

import (
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
)

// versionInfo has Docker's field names, so that templates read it.
type versionInfo struct {
	Client versionClient
	Server versionServer
}

// versionServer is what scripts ask a Docker engine for. There is none here: it is this program again.
type versionServer struct {
	Version       string
	GoVersion     string
	GitCommit     string
	Os            string
	Arch          string
	KernelVersion string
}

type versionClient struct {
	Version   string
	GoVersion string
	GitCommit string
	Os        string
	Arch      string
	Engine    string // the version of libcontainer
}

func (a *app) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "Show the version information", Description: "ctr version -f '{{.Client.Version}}'",
		Flags: []cli.Flag{textFlag("format", `Format output ("json", or a Go template)`, "f")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			return runVersion(c.String("format"), a.ui)
		},
	}
}

func runVersion(text string, ui *ui) error {
	v := versionInfo{
		Client: versionClient{
			Version: version, GoVersion: runtime.Version(), GitCommit: commit, Os: runtime.GOOS, Arch: runtime.GOARCH, Engine: moduleVersion("github.com/opencontainers/runc"),
		},
		Server: versionServer{
			Version: version, GoVersion: runtime.Version(), GitCommit: commit, Os: runtime.GOOS, Arch: runtime.GOARCH, KernelVersion: kernelVersion(),
		},
	}
	if text == "" {
		text = " Version:      {{.Client.Version}}\n Go version:   {{.Client.GoVersion}}\n Git commit:   {{.Client.GitCommit}}\n" +
			" OS/Arch:      {{.Client.Os}}/{{.Client.Arch}}\n libcontainer: {{.Client.Engine}}"
	}
	return printFormatted(ui, text, v)
}

// printFormatted prints a value as JSON or by a template.
func printFormatted(ui *ui, text string, v any) error {
	if text == "json" {
		text = "{{json .}}"
	}
	t, err := format.Parse(text)
	if err != nil {
		return err
	}
	out, err := format.Execute(t, v)
	if err != nil {
		return err
	}
	_, err = ui.out.Write(out)
	return err
}

// moduleVersion is the version of a module that this program was built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}
