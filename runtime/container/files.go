package container

import "path/filepath"

// The names of the files that doc.go draws.
const (
	specFile    = "container.json"
	exitFile    = "exit.json"
	monitorFile = "monitor.json"
	sandboxFile = "sandbox.json"
	attachFile  = "attach.sock"
	stopFile    = "stop"
	restartFile = "restart"
	changeFile  = "change"
	healthFile  = "health.json"
	upperDir    = "upper"
	workDir     = "work"

	removedPrefix = ".removed-"
)

// Container is one container: its spec, and the folders that hold its records.
type Container struct {
	Spec
	Dir    string // <data root>/containers/<id>
	RunDir string // <run root>/containers/<id>; exists only while the container runs, or after a crash
}

// LogPath returns the path of the log in Docker's JSON-lines format.
func (c *Container) LogPath() string { return filepath.Join(c.Dir, c.ID+"-json.log") }

// UpperDir returns the path of the writable layer.
func (c *Container) UpperDir() string { return filepath.Join(c.Dir, upperDir) }

// WorkDirPath returns the path of overlayfs' work folder.
func (c *Container) WorkDirPath() string { return filepath.Join(c.Dir, workDir) }

// SandboxPath returns the path of the network's record of the running container.
func (c *Container) SandboxPath() string { return filepath.Join(c.RunDir, sandboxFile) }

// AttachPath returns the path of the socket where the monitor answers.
func (c *Container) AttachPath() string { return filepath.Join(c.RunDir, attachFile) }

// FIFO returns the path of the FIFO that carries a standard stream: stdin, stdout or stderr.
func (c *Container) FIFO(stream string) string { return filepath.Join(c.RunDir, stream) }

// ShortID returns the first 12 digits of the ID.
func (c *Container) ShortID() string { return Short(c.ID) }

// Short returns the first 12 digits of an ID.
func Short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
