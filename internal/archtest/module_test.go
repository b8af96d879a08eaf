package archtest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The sources of this module keep the architecture.
func TestModule(t *testing.T) {
	t.Parallel()
	report, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Error(f)
	}
	for _, pkg := range []string{"broker/record", "internal/archtest"} {
		if !slices.Contains(report.Packages, pkg) {
			t.Errorf("%s was not looked at; is ../.. the root of the module?", pkg)
		}
	}
}

// The table refers to packages by name; a typing error in it would switch a rule
// off.
func TestTableNamesItself(t *testing.T) {
	t.Parallel()
	known := func(pkg string) bool {
		return slices.ContainsFunc(layers, func(p place) bool { return p.path == pkg })
	}
	for i, p := range layers {
		if (p.layer == brokerTower || p.layer == streamTower) != (p.floor > 0) {
			t.Errorf("%s: %v", p.path, p)
		}
		for _, b := range p.beside {
			if !known(b) {
				t.Errorf("%s stands beside %s, which has no place", p.path, b)
			}
		}
		for _, other := range layers[:i] {
			if other.covers(strings.TrimSuffix(p.path, "/...")) {
				t.Errorf("%s has two places", p.path)
			}
		}
	}
	for _, pkg := range slices.Concat(pure, bare, []string{bridgeUser, "state/badgerstore"}) {
		if !known(pkg) {
			t.Errorf("a rule is about %s, which has no place", pkg)
		}
	}
}
