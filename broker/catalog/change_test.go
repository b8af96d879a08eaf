package catalog

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/internal/vfs"
)

func TestChangesSurviveReopening(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	c := open(t, mem)
	want := create(t, c, "orders")
	want.Partitions, want.Configs = 5, map[string]string{"retention.ms": "-1"}
	if _, err := c.SetPartitions("orders", 5); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetConfigs("orders", map[string]string{"segment.ms": "1"}); err != nil {
		t.Fatal(err)
	}
	got, err := c.SetConfigs("orders", map[string]string{"retention.ms": " -1"})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("SetConfigs: %v (-want +got):\n%s", err, diff)
	}
	for _, refused := range []struct {
		err  error
		want error
	}{
		{second(c.SetPartitions("orders", 5)), ErrInvalidPartitions},
		{second(c.SetPartitions("orders", 4)), ErrInvalidPartitions},
		{second(c.SetPartitions("orders", MaxPartitions+1)), ErrInvalidPartitions},
		{second(c.SetPartitions("missing", 5)), ErrUnknownTopic},
		{c.ValidatePartitions("missing", 5), ErrUnknownTopic},
		{c.ValidatePartitions("orders", 5), ErrInvalidPartitions},
		{c.ValidatePartitions("orders", 6), nil},
		{second(c.SetConfigs("missing", nil)), ErrUnknownTopic},
		{second(c.SetConfigs("orders", map[string]string{"nonsense": "1"})), ErrInvalidConfig},
	} {
		if !errors.Is(refused.err, refused.want) {
			t.Errorf("error %v, want %v", refused.err, refused.want)
		}
	}
	for _, c := range []*Catalog{c, open(t, mem.CrashClone(0, nil))} {
		byName, _ := c.Lookup("orders")
		byID, _ := c.LookupID(want.ID)
		if diff := cmp.Diff([]Topic{want, want}, []Topic{byName, byID}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func second(_ Topic, err error) error { return err }

// All partitions of a broker are counted, before and after a topic grows.
func TestGrowthCountsTowardsTheLimit(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem())
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		if _, err := c.Create(name, MaxPartitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"j", "k"} {
		if _, err := c.Create(name, MaxPartitions/2-1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.SetPartitions("j", MaxPartitions/2+1); err != nil {
		t.Errorf("to the limit: %v", err)
	}
	if _, err := c.SetPartitions("k", MaxPartitions/2); !errors.Is(err, ErrInvalidPartitions) {
		t.Errorf("above the limit: %v", err)
	}
}
