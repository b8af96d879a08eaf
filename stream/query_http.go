package stream

import (
	"cmp"
	"encoding/json/v2"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/state"
)

const (
	// defaultQueryLimit and maxQueryLimit bound the entries of an answer.
	defaultQueryLimit = 1000
	maxQueryLimit     = 100_000
)

// QueryHandler serves the stores of a running App as JSON, read-committed:
//
//	GET /stores                           the stores, and the partitions of each that are here
//	GET /stores/{store}?limit=            what is here of a store, by partition
//	GET /stores/{store}/keys/{key}        what there is of a key
//
// Both of the latter are an array of entries with key, value and what they have of start, end and time. Of window and
// session stores they take from and to (RFC 3339), the bounds of the windows. A key is written as it is if it is a string,
// otherwise as JSON. limit is 1000 by default, 100000 at most.
//
// A key that another instance has is redirected to it (307), if that has a Config.Address, and is 421 otherwise. Whoever
// can reach the handler can read everything: put your own authentication in front.
func (a *App) QueryHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stores", a.serveStores)
	mux.HandleFunc("GET /stores/{store}", a.serveStore)
	mux.HandleFunc("GET /stores/{store}/keys/{key}", a.serveKey)
	return mux
}

// storeInfo is a store in the list of all.
type storeInfo struct {
	Name       string  `json:"name"`
	Partitions []int32 `json:"partitions"` // here
}

func (a *App) serveStores(w http.ResponseWriter, r *http.Request) {
	infos := []storeInfo{}
	for _, name := range slices.Sorted(maps.Keys(a.topology.stores)) {
		run, sub, err := a.find(name)
		if err != nil {
			queryError(w, r, err)
			return
		}
		if _, ok := a.topology.stores[name].(state.Readable); ok {
			infos = append(infos, storeInfo{name, append([]int32{}, run.worker.Tasks(sub.ID)...)})
		}
	}
	writeJSON(w, http.StatusOK, infos)
}

func (a *App) serveStore(w http.ResponseWriter, r *http.Request) {
	q, err := a.query(r)
	if err != nil {
		queryError(w, r, err)
		return
	}
	views, err := a.Views(r.Context(), q.store)
	if err != nil {
		queryError(w, r, err)
		return
	}
	entries := []state.Found{}
	for _, v := range views {
		if entries, err = q.collect(entries, q.store.Find(v, nil, q.from, q.to)); err != nil {
			queryError(w, r, err)
			return
		}
	}
	writeJSON(w, http.StatusOK, entries)
}

func (a *App) serveKey(w http.ResponseWriter, r *http.Request) {
	q, err := a.query(r)
	if err != nil {
		queryError(w, r, err)
		return
	}
	key, err := q.store.ParseKey(r.PathValue("key"))
	if err != nil {
		queryError(w, r, badQuery{err})
		return
	}
	view, err := a.viewKey(r.Context(), q.store.Spec().Name, key)
	if err != nil {
		queryError(w, r, err)
		return
	}
	entries, err := q.collect([]state.Found{}, q.store.Find(view, key, q.from, q.to))
	if err == nil && len(entries) == 0 {
		err = notFound{fmt.Errorf("stream: store %q has nothing for the key %q", q.store.Spec().Name, r.PathValue("key"))}
	}
	if err != nil {
		queryError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, entries)
}

// storeQuery is what a request asks for.
type storeQuery struct {
	store    state.Readable
	from, to time.Time
	limit    int
}

// badQuery and notFound are errors of a request.
type (
	badQuery struct{ error }
	notFound struct{ error }
)

func (a *App) query(r *http.Request) (q storeQuery, err error) {
	name := r.PathValue("store")
	store, ok := a.topology.stores[name].(state.Readable)
	if !ok {
		return q, notFound{fmt.Errorf("stream: the topology %s has no store %q that can be queried", a.topology.Name(), name)}
	}
	q.store = store
	form := r.URL.Query()
	bound := func(name string, def time.Time) (t time.Time) {
		text := form.Get(name)
		if text == "" {
			return def
		}
		t, parseErr := time.Parse(time.RFC3339, text)
		if parseErr != nil {
			err = errors.Join(err, badQuery{fmt.Errorf("stream: %s=%q is not a time such as 2026-01-01T12:00:00Z", name, text)})
		}
		return t
	}
	from, to := state.AllTime()
	q.from, q.to = bound("from", from), bound("to", to)
	q.limit = defaultQueryLimit
	if text := form.Get("limit"); text != "" {
		limit, parseErr := strconv.Atoi(text)
		if parseErr != nil || limit < 1 || limit > maxQueryLimit {
			err = errors.Join(err, badQuery{fmt.Errorf("stream: limit=%q: want 1 to %d", text, maxQueryLimit)})
		}
		q.limit = limit
	}
	return q, err
}

// collect appends entries up to the limit.
func (q storeQuery) collect(to []state.Found, entries iter.Seq2[state.Found, error]) ([]state.Found, error) {
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		if len(to) >= q.limit {
			return to, nil
		}
		to = append(to, e)
	}
	return to, nil
}

// queryError answers with an error.
func queryError(w http.ResponseWriter, r *http.Request, err error) {
	var notOwner *NotOwnerError
	var bad badQuery
	var missing notFound
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, &notOwner) && notOwner.Address != "":
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		w.Header().Set("Location", scheme+"://"+notOwner.Address+cmp.Or(r.RequestURI, r.URL.RequestURI()))
		status = http.StatusTemporaryRedirect
	case errors.As(err, &notOwner):
		status = http.StatusMisdirectedRequest
	case errors.As(err, &bad):
		status = http.StatusBadRequest
	case errors.As(err, &missing):
		status = http.StatusNotFound
	case errors.Is(err, ErrNotRunning):
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"stream: a value has no JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client has gone
}
