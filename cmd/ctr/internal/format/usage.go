package format

import (
	"fmt"

	"github.com/docker/go-units"

	"ctr/runtime/lifecycle"
)

// Usage is a row of `stats`.
type Usage struct {
	FullID, NameText string
	Asked            string          // what the user called the container
	Last, Now        lifecycle.Usage // two samples; Now is zero for a container that does not run, as all of its row is then
	NoTrunc          bool
}

// Container is the container, as the user called it.
func (u Usage) Container() string { return u.Asked }

// Name is the container's name.
func (u Usage) Name() string { return u.NameText }

// ID is the first 12 digits, or all.
func (u Usage) ID() string {
	if u.NoTrunc {
		return u.FullID
	}
	return TruncateID(u.FullID)
}

// CPUPerc is how much of one CPU the container took between the samples.
func (u Usage) CPUPerc() string {
	percent := 0.0
	if span := u.Now.Time.Sub(u.Last.Time); !u.Last.Time.IsZero() && span > 0 && u.Now.CPU >= u.Last.CPU {
		percent = 100 * float64(u.Now.CPU-u.Last.CPU) / float64(span)
	}
	return fmt.Sprintf("%.2f%%", percent)
}

// MemUsage is the memory in use, and what there is.
func (u Usage) MemUsage() string {
	return units.BytesSize(float64(u.Now.Memory)) + " / " + units.BytesSize(float64(u.Now.MemoryLimit))
}

// MemPerc is the part of it.
func (u Usage) MemPerc() string {
	return fmt.Sprintf("%.2f%%", 100*float64(u.Now.Memory)/float64(max(u.Now.MemoryLimit, 1)))
}

// NetIO are the bytes received and sent.
func (u Usage) NetIO() string { return u.pair(u.Now.Received, u.Now.Sent) }

// BlockIO are the bytes read and written.
func (u Usage) BlockIO() string { return u.pair(u.Now.Read, u.Now.Written) }

func (u Usage) pair(a, b uint64) string {
	return units.HumanSizeWithPrecision(float64(a), 3) + " / " + units.HumanSizeWithPrecision(float64(b), 3)
}

// PIDs is how many processes and threads there are.
func (u Usage) PIDs() string {
	return fmt.Sprint(u.Now.Processes)
}

// MarshalJSON makes {{json .}} print all fields.
func (u Usage) MarshalJSON() ([]byte, error) { return rowJSON(u) }
