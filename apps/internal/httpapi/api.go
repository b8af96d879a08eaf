package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Route is a pattern of http.ServeMux, such as GET /v1/alerts/{id}, and what answers.
type Route struct {
	Pattern string
	Handle  func(http.ResponseWriter, *http.Request) error
	// Open routes want no token.
	Open bool
}

// API serves routes.
type API struct {
	cfg      Config
	routes   []Route
	mux      *http.ServeMux
	open     map[string]bool // patterns
	tokens   tokens
	made     string // the file of tokens, if it was made
	listener net.Listener
	slots    chan struct{} // as many as requests may be under way
	stopping atomic.Bool
	seconds  *prometheus.HistogramVec
}

// document is where every API describes itself.
const documentPattern = "GET /v1/openapi.json"

// New opens the address of an API. The document is its OpenAPI description. Call Serve or Close.
func New(ctx context.Context, cfg Config, document []byte, routes []Route) (*API, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, mux: http.NewServeMux(), open: make(map[string]bool), slots: make(chan struct{}, cfg.MaxRequests)}
	var err error
	if a.tokens, a.made, err = openTokens(cfg.TokenFile, cfg.Dir); err != nil {
		return nil, err
	}
	a.routes = append(slices.Clone(routes),
		Route{Pattern: documentPattern, Open: true, Handle: serveDocument(document)},
		Route{Pattern: "GET /livez", Open: true, Handle: a.live},
		Route{Pattern: "GET /readyz", Open: true, Handle: a.readiness},
	)
	a.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "riffle_http_request_seconds", Help: "How long requests took, by route and status.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), NativeHistogramBucketFactor: 1.1,
	}, []string{"route", "code"})
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(a.seconds); err != nil {
			return nil, fmt.Errorf("httpapi: %w", err)
		}
	}
	for _, route := range a.routes {
		a.open[route.Pattern] = route.Open
		a.mux.Handle(route.Pattern, a.handler(route))
	}
	if a.listener, err = cfg.listen(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Addr is where the API listens.
func (a *API) Addr() string { return a.listener.Addr().String() }

// URL is how it is reached.
func (a *API) URL() string {
	if a.cfg.CertFile != "" {
		return "https://" + a.Addr()
	}
	return "http://" + a.Addr()
}

// MadeTokens is the file in which New has made the first token, or empty.
func (a *API) MadeTokens() string { return a.made }

// Patterns are those of all routes.
func (a *API) Patterns() []string {
	var patterns []string
	for _, r := range a.routes {
		patterns = append(patterns, r.Pattern)
	}
	return patterns
}

// Close ends an API that was not served.
func (a *API) Close() error { return a.listener.Close() }

// stopTimeout is how long requests may take that are under way at the end.
const stopTimeout = 10 * time.Second

// Serve answers requests until ctx ends, and then those that are under way.
func (a *API) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      a.cfg.MaxWait + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(a.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	a.stopping.Store(true)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if stopped := <-served; !errors.Is(stopped, http.ErrServerClosed) {
		err = errors.Join(err, stopped)
	}
	return err
}

// ServeHTTP implements http.Handler: what is the same for all routes.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		Unavailable("%d requests are under way, which is the most", a.cfg.MaxRequests).write(w)
		return
	}
	handler, pattern := a.mux.Handler(r)
	if !a.open[pattern] {
		user, ok := a.tokens.user(r)
		if !ok {
			h.Set("WWW-Authenticate", `Bearer realm="riffle"`)
			NewProblem(http.StatusUnauthorized, "unauthorized", "send Authorization: Bearer TOKEN, with a token that is known here").write(w)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), userKey{}, user))
	}
	if pattern == "" || path.Clean(r.URL.Path) != r.URL.Path { // the mux would redirect to the clean one
		a.noRoute(w, r, handler)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, a.cfg.MaxBody)
	a.mux.ServeHTTP(w, r) // which sets the values of the pattern
}

// noRoute turns what the mux says of an unknown path or method into a problem.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	said := &headersOnly{header: make(http.Header)}
	handler.ServeHTTP(said, r)
	if said.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", said.header.Get("Allow"))
		NewProblem(said.status, "method", "this path answers to %s", said.header.Get("Allow")).write(w)
		return
	}
	NotFound("there is no such path: GET /v1/openapi.json lists those that exist").write(w)
}

// headersOnly drops a body.
type headersOnly struct {
	header http.Header
	status int
}

func (h *headersOnly) Header() http.Header         { return h.header }
func (h *headersOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h *headersOnly) WriteHeader(status int)      { h.status = status }

// handler answers by a route, and turns its error into a problem.
func (a *API) handler(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, status := time.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if v := recover(); v != nil {
				a.cfg.Logger.Error("httpapi: a handler panicked", "route", route.Pattern, "kind", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				NewProblem(http.StatusInternalServerError, "internal", "something went wrong here").write(status)
			}
			a.seconds.WithLabelValues(route.Pattern, strconv.Itoa(status.status)).Observe(time.Since(start).Seconds())
			a.cfg.Logger.Debug("request", "route", route.Pattern, "status", status.status, "user", User(r.Context()), "took", time.Since(start))
		}()
		err := route.Handle(status, r)
		var problem *Problem
		switch {
		case err == nil:
		case errors.As(err, &problem):
			problem.write(status)
		default:
			a.cfg.Logger.Error("httpapi: a request failed", "route", route.Pattern, "err", err)
			NewProblem(http.StatusInternalServerError, "internal", "something went wrong here").write(status)
		}
	})
}

// statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func serveDocument(document []byte) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the client has gone
		return nil
	}
}

// health is what the probes answer.
type health struct {
	Status string `json:"status"`
}

func (a *API) live(w http.ResponseWriter, _ *http.Request) error {
	return Reply(w, http.StatusOK, health{"ok"})
}

func (a *API) readiness(w http.ResponseWriter, _ *http.Request) error {
	if a.stopping.Load() || !a.cfg.Ready() {
		return Unavailable("starting or stopping")
	}
	return Reply(w, http.StatusOK, health{"ok"})
}

// Wait gives a request's context the time to wait for a decision: that of its query parameter wait, a duration such as 500ms, or the
// API's own.
func (a *API) Wait(r *http.Request) (context.Context, context.CancelFunc, error) {
	wait := a.cfg.Wait
	if text := r.URL.Query().Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > a.cfg.MaxWait {
			return nil, nil, NewProblem(http.StatusBadRequest, "query", "wait: want a duration such as 500ms, of at most %v", a.cfg.MaxWait)
		}
		wait = d
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	return ctx, cancel, nil
}

// Pending answers that there is no decision yet, and where it will be.
func Pending(w http.ResponseWriter, id string) error {
	w.Header().Set("Location", "/v1/decisions/"+id)
	p := NewProblem(http.StatusGatewayTimeout, "pending", "there is no decision yet: GET %s has it later", "/v1/decisions/"+id)
	p.ID = id
	return p
}

// waiting is what is known of a request without a decision.
type waiting struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// StillPending answers who asks for the decision: it is not there yet, but will be.
func StillPending(w http.ResponseWriter, id string) error {
	w.Header().Set("Retry-After", "1")
	return Reply(w, http.StatusAccepted, waiting{id, "pending"})
}
