package quota

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Kind is what is limited.
type Kind int8

// What can be limited: the bytes of produce requests, and of the records in fetch
// responses, each per second; and the time that the broker works on requests of all
// kinds, in percent of that of one thread.
const (
	Produce Kind = iota
	Fetch
	Request
	kinds
)

var kindNames = [kinds]string{Produce: "producer_byte_rate", Fetch: "consumer_byte_rate", Request: "request_percentage"}

// String is Kafka's name of the limit.
func (k Kind) String() string { return kindNames[k] }

// ParseKind returns the limit of that name.
func ParseKind(name string) (k Kind, ok bool) {
	i := slices.Index(kindNames[:], name)
	return Kind(i), i >= 0
}

// Part is one half of an entity. The zero value leaves it open.
type Part struct {
	Name    string
	Default bool // for all that have no limit of their own
}

// Named is the part that is something by its name, Default that of all others.
func Named(name string) Part { return Part{Name: name} }

// Default is the part that stands for all that are not named.
var Default = Part{Default: true}

// Open reports whether the part does not matter.
func (p Part) Open() bool { return p == Part{} }

// Entity is who is limited: a user, a client id, or both.
type Entity struct{ User, ClientID Part }

// maxNameBytes limits names of users and client ids.
const maxNameBytes = 512

// Validate says what is wrong with an entity.
func (e Entity) Validate() error {
	switch {
	case e.User.Open() && e.ClientID.Open():
		return errors.New("quota: an entity with neither a user nor a client id")
	case len(e.User.Name) > maxNameBytes || len(e.ClientID.Name) > maxNameBytes:
		return fmt.Errorf("quota: a name of more than %d bytes", maxNameBytes)
	}
	return nil
}

func (e Entity) compare(o Entity) int {
	part := func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(fmt.Sprint(a.Default), fmt.Sprint(b.Default)))
	}
	return cmp.Or(part(e.User, o.User), part(e.ClientID, o.ClientID))
}

// Limits are rates by kind, in bytes a second or percent; 0 is none.
type Limits [kinds]float64

// Validate says what is wrong with limits.
func (l Limits) Validate() error {
	for k, rate := range l {
		if math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
			return fmt.Errorf("quota: %s is %v, want more than 0", Kind(k), rate)
		}
	}
	return nil
}

// Table is limits by entity. It does not change; nil is empty.
type Table struct{ limits map[Entity]Limits }

// NewTable makes a table. Entities without a limit are left out.
func NewTable(limits map[Entity]Limits) *Table {
	t := &Table{limits: maps.Clone(limits)}
	maps.DeleteFunc(t.limits, func(_ Entity, l Limits) bool { return l == Limits{} })
	return t
}

// Len is the number of entities.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.limits)
}

// Entities are all that have limits, in a fixed order.
func (t *Table) Entities() []Entity {
	if t == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(t.limits), Entity.compare)
}

// Limits are those of exactly that entity.
func (t *Table) Limits(e Entity) Limits {
	if t == nil {
		return Limits{}
	}
	return t.limits[e]
}

// With returns a table in which an entity has other limits.
func (t *Table) With(e Entity, l Limits) *Table {
	limits := map[Entity]Limits{}
	if t != nil {
		maps.Copy(limits, t.limits)
	}
	limits[e] = l
	return NewTable(limits)
}

// Share is what a client does is counted under: the limit that counts for it, and
// who shares it.
type Share struct {
	Kind   Kind
	Rate   float64 // bytes a second, or percent
	Entity Entity  // named parts only
}

// Share returns the limit that counts for a client, if there is one. The order is
// Kafka's: what is said of users comes before what is said of client ids alone, and
// names before defaults.
func (t *Table) Share(k Kind, user, clientID string) (s Share, limited bool) {
	if t.Len() == 0 {
		return Share{}, false
	}
	u, c := Named(user), Named(clientID)
	for _, level := range [...]struct {
		entity Entity
		shared Entity
	}{
		{Entity{u, c}, Entity{u, c}},
		{Entity{u, Default}, Entity{u, c}},
		{Entity{User: u}, Entity{User: u}},
		{Entity{Default, c}, Entity{u, c}},
		{Entity{Default, Default}, Entity{u, c}},
		{Entity{User: Default}, Entity{User: u}},
		{Entity{ClientID: c}, Entity{ClientID: c}},
		{Entity{ClientID: Default}, Entity{ClientID: c}},
	} {
		if rate := t.limits[level.entity][k]; rate > 0 {
			return Share{Kind: k, Rate: rate, Entity: level.shared}, true
		}
	}
	return Share{}, false
}
