package peers

import (
	"context"
	"log/slog"
	"testing"

	"github.com/riffle-stream/riffle/stream"
)

// riffle is the engine under test. Both guarantees are the same application: they go on with its state.
type riffle struct {
	onTopics
	guarantee stream.Guarantee
	cancel    context.CancelFunc
	ended     chan error
}

func newRiffle(p *plant, g stream.Guarantee) *riffle {
	return &riffle{onTopics: onTopics{p, "riffle"}, guarantee: g}
}

// prepare lets the application build the state that it is to have before the first run.
func (r *riffle) prepare(b *testing.B, n int) {
	b.Helper()
	if r.done(b) < int64(r.preload) {
		r.ensure(b, r.preload)
		builder := newRiffle(r.plant, stream.AtLeastOnce)
		builder.start(b)
		await(b, builder, int64(r.preload))
		builder.stop(b)
	}
	r.onTopics.prepare(b, n)
}

func (r *riffle) start(b *testing.B) {
	b.Helper()
	out := r.output(b, r.group)
	builder := stream.NewBuilder(r.group)
	r.topology(builder, r.sourceTopics(), out)
	topology, err := builder.Build()
	check(b, err)
	app, err := stream.NewApp(topology, r.cluster, stream.Config{Guarantee: r.guarantee, Logger: slog.New(slog.DiscardHandler)})
	check(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- app.Run(ctx) }()
}

func (r *riffle) failed() error {
	select {
	case err := <-r.ended:
		return err
	default:
		return nil
	}
}

func (r *riffle) stop(b *testing.B) {
	b.Helper()
	r.cancel()
	check(b, <-r.ended)
}
