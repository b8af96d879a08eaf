package ingest

import (
	"context"
	"errors"
)

// Process runs an import and the application that reads its topic side by side, until everything is processed. The
// end of ctx ends the import; the application still processes what was written. If one of the two fails, the other one ends as well.
//
// run runs the application, with inputsDone as its stream.Config.InputsDone.
func Process[V any](ctx context.Context, im *Import[V], next func() (Row[V], error), run func(ctx context.Context, inputsDone <-chan struct{}) error) error {
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	inputsDone := make(chan struct{})
	var readErr error
	go func() {
		defer close(inputsDone)
		readErr = im.Run(reading, next)
	}()
	err := run(context.WithoutCancel(ctx), inputsDone)
	stopReading()
	<-inputsDone
	return errors.Join(readErr, err)
}
