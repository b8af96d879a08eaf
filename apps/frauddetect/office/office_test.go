package office

import (
	"encoding/json/jsontext"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/stream"
)

// newCluster has the topics of a desk that does not run.
func newCluster(t *testing.T) *stream.Cluster {
	t.Helper()
	c := stream.Embedded(t.TempDir())
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, d := range desk.Definitions(2) {
		if err := c.CreateTopic(t.Context(), d.Name, d.Partitions, d.Settings); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func open(t *testing.T, c *stream.Cluster) *Office {
	t.Helper()
	o, err := Open(t.Context(), c, rulebook.AllMatches)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func rule(version int, condition string) desk.Change {
	return desk.Change{Change: rulebook.Change{Who: "ann", Rule: &rulebook.Rule{
		Name: "large", Version: version, Condition: condition, Action: rulebook.Block, Mode: rulebook.Live,
	}}}
}

// write writes records of one topic.
func write[V any](t *testing.T, c *stream.Cluster, topic stream.Topic[string, V], key string, values ...V) {
	t.Helper()
	w, err := stream.NewWriter(t.Context(), c, topic, stream.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := w.Write(t.Context(), stream.Record[string, V]{Key: key, Value: v}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// What would be refused is not written; what is written counts for the next change at once.
func TestChange(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	o := open(t, c)
	first, err := o.Change(t.Context(), rule(1, "amount > 220"))
	if err != nil || first.ID == "" || first.At.IsZero() {
		t.Fatalf("%+v, %v, want an ID and a time", first, err)
	}
	for text, bad := range map[string]desk.Change{
		"does not follow version 1": rule(1, "amount > 1"),
		"ERROR":                     rule(2, "amount >"),
		"no list":                   rule(2, "card in lists.none"),
		"who made it":               {Change: rulebook.Change{RemoveRule: "large"}},
	} {
		if _, err := o.Change(t.Context(), bad); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want a refusal with %q", err, text)
		}
	}
	if _, err := o.Change(t.Context(), rule(2, "amount > 300")); err != nil {
		t.Error(err)
	}
	var written []string
	for r, err := range c.Read(t.Context(), desk.Changes) {
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, r.Key+" "+r.Value.Rule.Condition)
	}
	if got, want := strings.Join(written, ", "), "rule/large amount > 220, rule/large amount > 300"; got != want {
		t.Errorf("written: %s, want %s", got, want)
	}
}

// An office that is opened later knows what is in force, and not what is no longer.
func TestOpenReadsWhatIsInForce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	made := rule(4, "amount > 220")
	made.At = time.Unix(1e9, 0)
	gone := &desk.Entry{Revision: 8, Change: desk.Change{Change: rulebook.Change{List: &rulebook.List{Name: "gone"}}}}
	write(t, c, desk.InForce, "rule/large", &desk.Entry{Revision: 7, Change: made})
	write(t, c, desk.InForce, "list/gone", gone, nil)
	o := open(t, c)
	o.Look(func(b *deciding.Book) {
		if r := b.Rules(); len(r) != 1 || r[0].Version != 4 || len(b.Lists()) != 0 || b.Revision() != 7 {
			t.Errorf("in force: %+v, %+v at revision %d", r, b.Lists(), b.Revision())
		}
	})
	if _, err := o.Change(t.Context(), rule(5, "amount > 230")); err != nil {
		t.Error(err)
	}
}

// Wait is over when every partition has told of the change, or one has refused it.
func TestWait(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	o := open(t, c)
	write(t, c, desk.Applied, "x",
		desk.Application{ID: "x", Partition: 1, Offset: 5}, desk.Application{ID: "other", Partition: 0, Offset: 6},
		desk.Application{ID: "x", Partition: 0, Offset: 7}, desk.Application{ID: "bad", Error: "too late"})
	applied, err := o.Wait(t.Context(), "x", 2)
	if err != nil || len(applied) != 2 || applied[0].Offset != 7 || applied[1].Offset != 5 {
		t.Errorf("applied %+v, %v", applied, err)
	}
	if _, err := o.Wait(t.Context(), "bad", 2); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "too late") {
		t.Errorf("error %v, want the refusal", err)
	}
}

// Differences bring a file into force once: the second time there are none.
func TestDifferences(t *testing.T) {
	t.Parallel()
	o := open(t, newCluster(t))
	set, err := rulebook.ParseFile([]byte("lists: [{name: bad, values: [a]}]\nrules: [{name: r, condition: card in lists.bad, action: block}]"))
	if err != nil {
		t.Fatal(err)
	}
	models := []scoring.File{{Name: "a", JSON: []byte(`{"online": {}}`)}, {Name: "b", JSON: []byte(`{"online":{}}`)}}
	bring := func() (keys []string) {
		for _, c := range o.Differences(set, models) {
			c.Who = "ann"
			if c.Model != nil {
				c.Model.File = jsontext.Value(compacted(c.Model.File)) // as it comes back from the log
			}
			if _, err := o.Change(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			keys = append(keys, c.Key())
		}
		return keys
	}
	if got, want := strings.Join(bring(), " "), "list/bad rule/r model/a model/b"; got != want {
		t.Errorf("changes of %s, want %s", got, want)
	}
	if again := bring(); again != nil {
		t.Errorf("the second time: changes of %v, want none", again)
	}
	set.Rules[0].Action = rulebook.Review
	models[0], models[1] = models[1], models[0]
	if got, want := strings.Join(bring(), " "), "rule/r model/b model/a"; got != want {
		t.Errorf("after a change of the file: %s, want %s", got, want)
	}
}
