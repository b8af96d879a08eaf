package broker

import (
	"context"
	"time"
)

// workingKey is the key of a working in the contexts that handlers get.
type workingKey struct{}

// working tells the time that a request takes of the broker from the time that it waits:
// for the disk, for records, for other members of a group. Handlers of one connection
// run one after the other, so there is one of a connection.
type working struct{ waited time.Duration }

// pause stops the clock of the request that ctx belongs to, if there is one, until the
// function that it returns is called.
func pause(ctx context.Context) (resume func()) {
	w, ok := ctx.Value(workingKey{}).(*working)
	if !ok {
		return func() {}
	}
	began := time.Now()
	return func() { w.waited += time.Since(began) }
}

// hard is a context that ends when Stop may not wait any longer, whatever becomes of the
// client, with the clock of the request that ctx belongs to.
func (b *Broker) hard(ctx context.Context) context.Context {
	return hardContext{b.hardCtx, ctx}
}

type hardContext struct {
	context.Context
	request context.Context
}

// Value returns what the request's context has.
func (c hardContext) Value(key any) any { return c.request.Value(key) }
