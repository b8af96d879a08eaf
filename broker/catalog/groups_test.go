package catalog

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/internal/vfs"
)

func TestGroupConfigs(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	c, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	const session = "consumer.session.timeout.ms"
	for name, configs := range map[string]map[string]string{
		"a": {session: " 60000 "}, "b": {session: "50000", "consumer.heartbeat.interval.ms": "1000"},
	} {
		if err := c.SetGroupConfigs(name, configs); err != nil {
			t.Fatal(err)
		}
	}
	for _, wrong := range []map[string]string{{session: "0"}, {session: "soon"}, {"retention.ms": "1"}} {
		if err := c.SetGroupConfigs("a", wrong); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("SetGroupConfigs(%v) = %v, want %v", wrong, err, ErrInvalidConfig)
		}
	}
	if err := c.SetGroupConfigs("b", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("orders", 1, nil); err != nil { // other changes keep them
		t.Fatal(err)
	}
	again, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Catalog{c, again} {
		if diff := cmp.Diff([]string{"a"}, c.ConfiguredGroups()); diff != "" {
			t.Errorf("ConfiguredGroups (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{session: "60000"}, c.GroupConfigs("a")); diff != "" {
			t.Errorf("GroupConfigs (-want +got):\n%s", diff)
		}
		if got := c.GroupConfigs("b"); got != nil {
			t.Errorf("GroupConfigs of a group that lost them = %v", got)
		}
	}
}

func TestFileOfGroupsIsChecked(t *testing.T) {
	t.Parallel()
	for name, groups := range map[string]string{
		"no name":    `{"name": "", "configs": {"consumer.session.timeout.ms": "1"}}`,
		"no configs": `{"name": "g", "configs": {}}`,
		"wrong":      `{"name": "g", "configs": {"retention.ms": "1"}}`,
	} {
		if _, err := decode([]byte(`{"clusterId": "x", "nextProducerId": 0, "topics": [], "groups": [` + groups + `]}`)); err == nil {
			t.Errorf("%s: a file with the group %s is read", name, groups)
		}
	}
}
