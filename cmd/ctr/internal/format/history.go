package format

import (
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"ctr/images"
)

// Step is a row of `history`.
type Step struct {
	images.Step
	Bytes   int64
	Exact   bool // sizes in bytes
	NoTrunc bool
	Now     time.Time
}

// createdByWidth is how much of a command is shown, as in Docker.
const createdByWidth = 45

// ID is the image's, or that there is none.
func (s Step) ID() string {
	switch {
	case s.Step.ID == "":
		return "<missing>"
	case s.NoTrunc:
		return s.Step.ID
	}
	return TruncateID(s.Step.ID)
}

// CreatedAt is when the step was made.
func (s Step) CreatedAt() string {
	if s.Created.Unix() <= 0 {
		return "N/A"
	}
	return s.Created.Local().Format(time.RFC3339)
}

// CreatedSince is how long ago that was.
func (s Step) CreatedSince() string {
	if s.Created.Unix() <= 0 {
		return s.CreatedAt()
	}
	return units.HumanDuration(s.Now.Sub(s.Created)) + " ago"
}

// CreatedBy is the command.
func (s Step) CreatedBy() string {
	by := strings.ReplaceAll(s.Step.CreatedBy, "\t", " ")
	if s.NoTrunc {
		return by
	}
	return ellipsis(by, createdByWidth)
}

// Size is that of the layer.
func (s Step) Size() string {
	if s.Exact {
		return strconv.FormatInt(s.Bytes, 10)
	}
	return units.HumanSizeWithPrecision(float64(s.Bytes), 3)
}

// Comment is what was said of it.
func (s Step) Comment() string { return s.Step.Comment }

// MarshalJSON makes {{json .}} print all fields.
func (s Step) MarshalJSON() ([]byte, error) { return rowJSON(s) }
