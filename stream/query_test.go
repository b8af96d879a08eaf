package stream

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

var (
	perKey    = state.NewTableStore("per-key", serde.String, serde.Int64)
	perMinute = state.NewWindowStore("per-minute", serde.String, serde.Int64)
)

// queried counts lines by key, in a table and by minute.
func queried(t testing.TB) *Topology {
	b := NewBuilder("queried")
	b.From(lines).Count(perKey).To(counts)
	b.From(lines).Process("by-minute", func(c *Context[string, int64], r Record[string, string]) error {
		_, err := perMinute.In(c).Update(r.Key, r.Time.Truncate(time.Minute), func(n int64, _ bool) (int64, error) { return n + 1, nil })
		return err
	}, perMinute)
	return build(t, b)
}

// Stores are read from outside while the application runs: by key, whole, in part, and by window.
func TestQueries(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "lines")
		app, stop := background(t, queried(t), c, Config{})
		var in []Record[string, string]
		for i := range 1200 {
			in = append(in, Record[string, string]{Key: fmt.Sprint("k", i%600), Time: time.Unix(int64(i/600)*60, 0)})
		}
		write(t, c, lines, in...)
		ctx := t.Context()
		all := func() map[string]int64 {
			rows := make(map[string]int64)
			for e, err := range app.All(ctx, perKey) {
				if err != nil {
					return nil // not yet
				}
				rows[e.Key] = e.Value.Value
			}
			return rows
		}
		want := make(map[string]int64)
		for i := range 600 {
			want[fmt.Sprint("k", i)] = 2
		}
		eventually(t, "everything is counted", func() bool { return cmp.Equal(want, all()) })

		row, found, err := app.Get(ctx, perKey, "k7")
		if err != nil || !found || row.Value != 2 || !row.Time.Equal(time.Unix(60, 0)) {
			t.Errorf("Get = %v, %t, %v", row, found, err)
		}
		if _, found, err := app.Get(ctx, perKey, "none"); found || err != nil {
			t.Errorf("Get of a missing key: %t, %v", found, err)
		}
		var part []string
		for e, err := range app.Range(ctx, perKey, "k59", "k592") {
			if err != nil {
				t.Fatal(err)
			}
			part = append(part, e.Key)
		}
		slices.Sort(part)
		if diff := cmp.Diff([]string{"k59", "k590", "k591"}, part); diff != "" {
			t.Errorf("Range (-want +got):\n%s", diff)
		}

		view, err := app.View(ctx, perMinute, "k7")
		if err != nil {
			t.Fatal(err)
		}
		var windows []string
		for w, err := range perMinute.In(view).Fetch("k7", time.Unix(0, 0), time.Unix(61, 0)) {
			if err != nil {
				t.Fatal(err)
			}
			windows = append(windows, fmt.Sprint(w.Start.Unix(), "=", w.Value))
		}
		if diff := cmp.Diff([]string{"0=1", "60=1"}, windows); diff != "" {
			t.Errorf("Fetch (-want +got):\n%s", diff)
		}
		if err := perMinute.In(view).Put("k7", time.Unix(0, 0), 5); !errors.Is(err, state.ErrReadOnly) {
			t.Errorf("Put: %v, want ErrReadOnly", err)
		}
		if _, _, err := app.Get(ctx, state.NewTableStore("other", serde.String, serde.Int64), "k"); err == nil || !strings.Contains(err.Error(), `no store "other"`) {
			t.Errorf("Get from a store that is not there: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, _, err := app.Get(ctx, perKey, "k7"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("Get after the end: %v", err)
		}
	})
}

// What is not committed is not shown.
func TestQueriesAreReadCommitted(t *testing.T) {
	t.Parallel()
	backend := state.NewMemory()
	task, err := backend.OpenTask(state.TaskID{}, []state.Spec{perKey.Spec()})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := task.Store("per-key")
	committed, _ := task.Committed("per-key")
	look := func() (seen []string) {
		for kv, err := range committed.Range(nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, string(kv.Key)+"="+string(kv.Value))
		}
		for _, key := range []string{"a", "b"} {
			if v, found, _ := committed.Get([]byte(key)); found {
				seen = append(seen, "get "+key+"="+string(v))
			}
		}
		return seen
	}
	steps := []struct {
		do   func() error
		want []string
	}{
		{func() error { return s.Put([]byte("a"), []byte("1")) }, nil},
		{func() error { return task.Commit(nil) }, []string{"a=1", "get a=1"}},
		{func() error { return errors.Join(s.Put([]byte("a"), []byte("2")), s.Put([]byte("b"), []byte("2"))) }, []string{"a=1", "get a=1"}},
		{func() error { task.Abort(); return nil }, []string{"a=1", "get a=1"}},
		{func() error { return errors.Join(s.Delete([]byte("a")), task.Commit(nil)) }, nil},
	}
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, look()); diff != "" {
			t.Errorf("after step %d (-want +got):\n%s", i, diff)
		}
	}
	if err := errors.Join(committed.Put(nil, nil)); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("Put: %v", err)
	}
}

// Of several instances each says where a key is that it does not have, and its handler sends clients there.
func TestQueriesAcrossInstances(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 4, "lines")
		topology := queried(t)
		var apps []*App
		for range 2 {
			server := httptest.NewUnstartedServer(nil)
			app, _ := background(t, topology, c, Config{Address: server.Listener.Addr().String()})
			server.Config.Handler = app.QueryHandler()
			server.Start()
			t.Cleanup(server.Close)
			apps = append(apps, app)
		}
		eventually(t, "both have tasks", func() bool { return len(apps[0].Stats().Tasks) > 0 && len(apps[1].Stats().Tasks) > 0 })
		var in []Record[string, string]
		for i := range 40 {
			in = append(in, Record[string, string]{Key: fmt.Sprint("k", i), Time: time.Unix(90, 0)})
		}
		write(t, c, lines, in...)
		get := func(path string) (status int, found []state.Found) {
			resp, err := http.Get("http://" + apps[0].cfg.Address + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				if err := json.UnmarshalRead(resp.Body, &found); err != nil {
					t.Fatal(err)
				}
			}
			return resp.StatusCode, found
		}
		moved := 0
		for i := range 40 {
			key := fmt.Sprint("k", i)
			eventually(t, key+" is found, wherever it is", func() bool {
				status, found := get("/stores/per-key/keys/" + key)
				return status == http.StatusOK && len(found) == 1 && found[0].Value == 1.0 && found[0].Key == key
			})
			var notOwner *NotOwnerError
			if _, _, err := apps[0].Get(t.Context(), perKey, key); errors.As(err, &notOwner) {
				moved++
				if notOwner.Address != apps[1].cfg.Address {
					t.Errorf("%s is said to be at %q, want %q", key, notOwner.Address, apps[1].cfg.Address)
				}
			} else if err != nil {
				t.Error(err)
			}
		}
		if moved == 0 || moved == 40 {
			t.Errorf("%d of 40 keys are with the other instance", moved)
		}
		if _, found := get("/stores/per-minute/keys/k1?from=1970-01-01T00:01:00Z&to=1970-01-01T00:02:00Z"); len(found) != 1 || found[0].Start.Unix() != 60 {
			t.Errorf("windows of k1: %v", found)
		}
	})
}

// What cannot be answered says so, with a status of its own.
func TestQueryHandlerErrors(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	app, stop := background(t, queried(t), c, Config{})
	write(t, c, lines, Record[string, string]{Key: "k", Time: time.Unix(90, 0)}, Record[string, string]{Key: "l", Time: time.Unix(90, 0)})
	ask := func(path string) string {
		w := httptest.NewRecorder()
		app.QueryHandler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
	}
	eventually(t, "the lines are counted", func() bool { return strings.Contains(ask("/stores/per-key"), `"l"`) })
	for path, want := range map[string]string{
		"/stores":                           `200 [{"name":"per-key","partitions":[0]},{"name":"per-minute","partitions":[0]}]`,
		"/stores/per-key":                   `200 [{"key":"k","value":1,"time":"1970-01-01T00:01:30Z"},{"key":"l","value":1,"time":"1970-01-01T00:01:30Z"}]`,
		"/stores/per-key?limit=1":           `200 [{"key":"k","value":1,"time":"1970-01-01T00:01:30Z"}]`,
		"/stores/per-minute/keys/k":         `200 [{"key":"k","value":1,"start":"1970-01-01T00:01:00Z"}]`,
		"/stores/per-key/keys/m":            `404 {"error":"stream: store \"per-key\" has nothing for the key \"m\""}`,
		"/stores/other":                     `404 {"error":"stream: the topology queried has no store \"other\" that can be queried"}`,
		"/stores/per-key?limit=0":           `400 {"error":"stream: limit=\"0\": want 1 to 100000"}`,
		"/stores/per-minute?from=yesterday": `400 {"error":"stream: from=\"yesterday\" is not a time such as 2026-01-01T12:00:00Z"}`,
	} {
		if got := ask(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := ask("/stores"); !strings.HasPrefix(got, "503 ") {
		t.Errorf("after the end: %s", got)
	}
}
