package images

import "time"

// Step is one line of an image's history: what made a layer, or changed nothing but the configuration.
type Step struct {
	ID        string // the image's own, of the last step; of the others nothing is kept
	Created   time.Time
	CreatedBy string
	Comment   string
	Layer     *Layer // that it made; nil: none
}

// History tells how the image was made, the last step first. Layers that the configuration says nothing of are steps too.
func (i Image) History() []Step {
	var steps []Step
	layers := i.Layers
	for _, h := range i.Config.History {
		s := Step{CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			s.Created = *h.Created
		}
		if !h.EmptyLayer && len(layers) > 0 {
			s.Layer, layers = &layers[0], layers[1:]
		}
		steps = append([]Step{s}, steps...)
	}
	for n := range layers {
		steps = append([]Step{{Created: i.Created, Layer: &layers[n]}}, steps...)
	}
	if len(steps) > 0 {
		steps[0].ID = i.ID
	}
	return steps
}
