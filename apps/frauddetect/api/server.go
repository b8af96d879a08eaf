package api

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/office"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/apps/internal/replies"
	"github.com/riffle-stream/riffle/stream"
)

// OpenAPI describes the API.
//
//go:embed openapi.json
var OpenAPI []byte

// Config says what an API is about.
type Config struct {
	httpapi.Config
	// Cluster has the topics of the desk, which exist. It stays open until Serve has ended.
	Cluster *stream.Cluster
	// Partitions is the number of partitions of the desk's topics.
	Partitions int
	// Matching is that of the desk.
	Matching rulebook.Matching
	// Ring has the keys that make tokens of card numbers. It may be nil: then card numbers are refused.
	Ring *pan.Ring
}

// Server is the API of a desk that runs.
type Server struct {
	*httpapi.API
	cfg    Config
	desk   *replies.Desk[payment.Transaction, desk.Decision]
	office *office.Office
	board  *Board

	// People's changes of alerts. A writer's errors come with its Flush.
	alerts struct {
		sync.Mutex
		writer *stream.Writer[string, desk.AlertChange]
	}
}

// New opens the API, which answers when Serve is called.
func New(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{cfg: cfg, board: NewBoard()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.desk, err = replies.Open(ctx, replies.Config{Logger: cfg.Logger}, cfg.Cluster, desk.Transactions, desk.Decisions, desk.Conflicts); err != nil {
		return nil, err
	}
	if s.office, err = office.Open(ctx, cfg.Cluster, cfg.Matching); err != nil {
		return nil, err
	}
	s.alerts.writer, err = stream.NewWriter(ctx, cfg.Cluster, desk.AlertChanges, stream.WriterConfig{Linger: time.Millisecond})
	if err != nil {
		return nil, err
	}
	s.API, err = httpapi.New(ctx, cfg.Config, OpenAPI, s.routes())
	return s, err
}

func (s *Server) close() (err error) {
	if s.desk != nil {
		err = s.desk.Close()
	}
	if s.office != nil {
		err = errors.Join(err, s.office.Close())
	}
	if s.alerts.writer != nil {
		err = errors.Join(err, s.alerts.writer.Close())
	}
	return err
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var following sync.WaitGroup
	following.Go(func() { s.board.Follow(running, s.cfg.Cluster, s.cfg.Logger) })
	following.Go(func() { s.followBook(running) })
	err := s.API.Serve(ctx)
	stop()
	following.Wait()
	return errors.Join(err, s.close())
}

// followBook reads what is in force again when others have changed it.
func (s *Server) followBook(ctx context.Context) {
	for ctx.Err() == nil {
		for r, err := range s.cfg.Cluster.Follow(ctx, desk.InForce, 0) {
			if err == nil && s.knows(r.Key, r.Value) {
				continue
			}
			if err = errors.Join(err, s.office.Reload(ctx)); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Error("api: what is in force could not be read", "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// knows reports whether something that is in force, or no longer, is so in the office's book.
func (s *Server) knows(key string, e *desk.Entry) bool {
	return look(s, func(b *deciding.Book) bool {
		if e == nil {
			return !b.Keys()[key]
		}
		return b.Revision() >= e.Revision
	})
}

func (s *Server) routes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v1/payments", Handle: s.submit},
		{Pattern: "GET /v1/decisions/{id}", Handle: s.decision},
		{Pattern: "GET /v1/alerts", Handle: s.listAlerts},
		{Pattern: "GET /v1/alerts/{id}", Handle: s.showAlert},
		{Pattern: "PATCH /v1/alerts/{id}", Handle: s.changeAlert},
		{Pattern: "GET /v1/rules", Handle: s.listRules},
		{Pattern: "GET /v1/rules/{name}", Handle: s.showRule},
		{Pattern: "PUT /v1/rules/{name}", Handle: s.putRule},
		{Pattern: "PATCH /v1/rules/{name}", Handle: s.setRuleMode},
		{Pattern: "DELETE /v1/rules/{name}", Handle: s.removeRule},
		{Pattern: "GET /v1/lists", Handle: s.listLists},
		{Pattern: "GET /v1/lists/{name}", Handle: s.showList},
		{Pattern: "PUT /v1/lists/{name}", Handle: s.putList},
		{Pattern: "DELETE /v1/lists/{name}", Handle: s.removeList},
		{Pattern: "GET /v1/snoozes", Handle: s.listSnoozes},
		{Pattern: "POST /v1/snoozes", Handle: s.snooze},
		{Pattern: "GET /v1/models", Handle: s.listModels},
		{Pattern: "GET /v1/models/{name}", Handle: s.showModel},
		{Pattern: "PUT /v1/models/{name}", Handle: s.putModel},
		{Pattern: "PATCH /v1/models/{name}", Handle: s.setModelMode},
		{Pattern: "DELETE /v1/models/{name}", Handle: s.removeModel},
		{Pattern: "GET /v1/changes", Handle: s.listChanges},
		httpapi.CardsRoute(s.cfg.Ring),
	}
}
