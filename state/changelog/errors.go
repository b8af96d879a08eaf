package changelog

import (
	"fmt"

	"github.com/riffle-stream/riffle/state"
)

// DoubtError means that local data cannot be reconciled with the changelog. The
// remedy is to wipe the task and replay its changelogs from the beginning.
type DoubtError struct{ Store, Reason string }

func (e *DoubtError) Error() string {
	return fmt.Sprintf("changelog: store %q: %s", e.Store, e.Reason)
}

// GapError means that the changelog has lost records that are needed: the topic was
// truncated, or has a retention. State that cannot be restored is not guessed.
type GapError struct {
	Store      string
	Want, Have int64 // first offset needed, first one there
}

func (e *GapError) Error() string {
	return fmt.Sprintf("changelog: store %q: the changelog begins at offset %d, the store needs it from %d: "+
		"the topic must have cleanup.policy=compact and no records deleted; to begin anew, delete the topic and reset the application's offsets",
		e.Store, e.Have, e.Want)
}

// LayoutError means that the changelog was written by a store declared otherwise.
type LayoutError struct {
	Store      string
	Have, Want state.Layout
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("changelog: store %q: the changelog has the %v layout, the store is declared for %v "+
		"(a TTL was added or removed): give the store a new name, or declare it as before", e.Store, e.Have, e.Want)
}
