package archtest

import (
	"fmt"
	"strings"
)

const module = "github.com/riffle-stream/riffle"

// layer is a part of the building.
type layer string

const (
	ground      layer = "ground"
	brokerTower layer = "broker tower"
	streamTower layer = "stream tower"
	bridge      layer = "bridge"
	roof        layer = "roof"
)

// place says where a package stands.
type place struct {
	path  string // below the module; "x/..." is x and all below it
	layer layer
	floor int // within a tower: a package imports lower floors
	// beside names packages of the same layer and floor, or of the roof, that
	// this one imports as well. Each needs a reason in the table.
	beside []string
}

// layers is the table that design and contributors' guide refer to. It is read from
// bottom to top.
var layers = []place{
	{path: "internal/invariant", layer: ground},
	{path: "internal/failpoint", layer: ground},
	{path: "internal/memnet", layer: ground},
	{path: "internal/planted", layer: ground}, // bugs for the tests to find
	{path: "internal/reliability", layer: ground},
	{path: "internal/varint", layer: ground},
	{path: "internal/vfs", layer: ground},
	{path: "internal/vfs/faultfs", layer: ground, beside: []string{"internal/vfs"}}, // the same seam, with faults
	{path: "internal/archtest", layer: ground},                                      // imports nothing, and nobody imports it

	{path: "broker/group", layer: brokerTower, floor: 1},
	{path: "broker/producer", layer: brokerTower, floor: 1},
	{path: "broker/txn", layer: brokerTower, floor: 1},
	{path: "broker/record", layer: brokerTower, floor: 1},
	{path: "broker/acl", layer: brokerTower, floor: 1},
	{path: "broker/quota", layer: brokerTower, floor: 1},
	{path: "broker/scram", layer: brokerTower, floor: 1},
	{path: "broker/statefile", layer: brokerTower, floor: 1},
	{path: "broker/access", layer: brokerTower, floor: 2},
	{path: "broker/catalog", layer: brokerTower, floor: 2},
	{path: "broker/commitlog", layer: brokerTower, floor: 2},
	{path: "broker/group/consumer", layer: brokerTower, floor: 2},
	{path: "broker", layer: brokerTower, floor: 3},
	{path: "broker/brokertest", layer: brokerTower, floor: 4},

	{path: "serde", layer: streamTower, floor: 1},
	{path: "state", layer: streamTower, floor: 1, beside: []string{"serde", "stream/window"}}, // a store is typed by its serdes; sessions are windows
	{path: "stream/window", layer: streamTower, floor: 1, beside: []string{"serde"}},          // the serde of a key in a window
	{path: "stream/internal/calls", layer: streamTower, floor: 1},
	{path: "state/badgerstore", layer: streamTower, floor: 2},
	{path: "state/changelog", layer: streamTower, floor: 2},
	{path: "state/statetest", layer: streamTower, floor: 2},
	{path: "stream/internal/client", layer: streamTower, floor: 2},
	{path: "stream/internal/graph", layer: streamTower, floor: 2},
	{path: "stream/internal/task", layer: streamTower, floor: 3},
	{path: "stream/internal/worker", layer: streamTower, floor: 3},
	{path: "stream", layer: streamTower, floor: 4},
	{path: "processors", layer: streamTower, floor: 5},
	{path: "stream/streamtest", layer: streamTower, floor: 5},

	{path: "internal/embed", layer: bridge},

	{path: "apps/internal/...", layer: roof},
	{path: "apps/dedup/...", layer: roof, beside: []string{"apps/internal/..."}},
	{path: "apps/frauddetect/...", layer: roof, beside: []string{"apps/internal/..."}},
	{path: "bench", layer: roof},
	{path: "cmd/riffle/...", layer: roof},
	{path: "internal/e2e/...", layer: roof, beside: []string{"apps/dedup/...", "apps/frauddetect/...", "cmd/riffle/..."}}, // tests them as a whole
}

// bridgeUser is the one package that imports the bridge: the DSL's Embedded.
const bridgeUser = "stream"

func (p place) covers(pkg string) bool {
	if dir, ok := strings.CutSuffix(p.path, "/..."); ok {
		return pkg == dir || strings.HasPrefix(pkg, dir+"/")
	}
	return pkg == p.path
}

func (p place) String() string {
	if p.floor > 0 {
		return fmt.Sprintf("%s, floor %d", p.layer, p.floor)
	}
	return string(p.layer)
}

func find(pkg string) (place, bool) {
	for _, p := range layers {
		if p.covers(pkg) {
			return p, true
		}
	}
	return place{}, false
}

// forbidden says why from may not import to, both below the module, or returns "".
// A test may look at all of its own tower, but not into the other.
func forbidden(from, to string, inTest bool) (remedy string) {
	if from == to {
		return ""
	}
	f, ok := find(from)
	t, known := find(to)
	if !ok || !known {
		return "" // reported where the package is
	}
	if f.path == t.path {
		return "" // one subtree of the roof
	}
	for _, b := range f.beside {
		if b == t.path {
			return ""
		}
	}
	switch {
	case t.layer == ground && f.layer != ground:
		return ""
	case t.layer == bridge:
		if from == bridgeUser {
			return ""
		}
		return "only " + bridgeUser + " imports the bridge: start an application with stream.Embedded"
	case f.layer == roof && (t.layer == brokerTower || t.layer == streamTower):
		return ""
	case f.layer == bridge && t.layer == brokerTower:
		return ""
	case f.layer != t.layer && t.layer == roof:
		return "nothing imports the roof: move what both need into a package below"
	case f.layer != t.layer:
		return "the towers meet on the Kafka protocol: use a client, or test both together in internal/e2e"
	case t.floor < f.floor, inTest && f.floor > 0:
		return ""
	}
	return "a package imports lower floors of its own tower: move what it needs down, " +
		"or declare an interface where it is used and have the value passed in"
}
