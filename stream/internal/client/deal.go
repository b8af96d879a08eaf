package client

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deal is the state of one rebalance. It has three steps:
//
//  1. Every unit gets a target, so that no member has more than one unit more than another. Within that, a unit stays with its
//     owner, or goes to the member that lacks the least of its state, or to where there is the least of its set.
//  2. A target that lacks more than the acceptable lag has to wait, if another member lacks less: that one goes on with
//     the unit, or takes it over, and the target warms up (KIP-441). So shares may be uneven for a while.
//  3. The state of every unit is copied to other members than its own: first to those that have most of it already.
type deal struct {
	standbys Standbys
	owned    map[Unit]claim // partitions, by topic
	held     []map[Unit]Held
	units    []*dealt
	count    []int   // units by member
	inSet    [][]int // by member and set
	each     int     // units that every member may have,
	further  int     // and members that may have one more
}

// dealt is a unit with what is decided about it. Members are named by their index, -1 is none.
type dealt struct {
	Unit
	set      int
	stateful bool
	owner    int     // who has it now
	lags     []int64 // by member
	target   int     // who is to have it in the end
	active   int     // who has it next
	warmUp   int     // who warms up for it
	standbys []int   // who keeps a copy, warmUp among them
}

type claim struct {
	member     int
	generation int32
}

func newDeal(cb *kgo.ConsumerBalancer, standbys Standbys) *deal {
	d := &deal{standbys: standbys, owned: make(map[Unit]claim)}
	cb.EachMember(func(_ *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		member := len(d.held)
		d.held = append(d.held, parseHeld(meta.UserData))
		for _, o := range meta.OwnedPartitions {
			for _, p := range o.Partitions {
				at := Unit{o.Topic, p}
				// A claim of an earlier generation is that of a member that was away meanwhile.
				if other, ok := d.owned[at]; !ok || meta.Generation > other.generation {
					d.owned[at] = claim{member, meta.Generation}
				}
			}
		}
	})
	d.count = make([]int, len(d.held))
	d.inSet = make([][]int, len(d.held))
	return d
}

// ownerOf returns the member that has a unit now.
func (d *deal) ownerOf(set []string, p int32) int {
	for _, topic := range set {
		if c, ok := d.owned[Unit{topic, p}]; ok {
			return c.member
		}
	}
	return -1
}

func (d *deal) add(at Unit, set, owner int, stateful bool) {
	u := &dealt{Unit: at, set: set, owner: owner, stateful: stateful, target: -1, active: -1, warmUp: -1}
	u.lags = d.lags(at)
	d.units = append(d.units, u)
}

// lags returns what each member lacks of the state of a unit. Where the changelogs end is known from the members that read
// them; what nobody reads ends where the longest copy does.
func (d *deal) lags(at Unit) []int64 {
	end, known := int64(0), false
	for _, held := range d.held {
		h, ok := held[at]
		switch {
		case !ok || known && h.Lag < 0:
		case h.Lag >= 0 && !known:
			end, known = h.Position+h.Lag, true
		default:
			end = max(end, h.Position+max(h.Lag, 0))
		}
	}
	lags := make([]int64, len(d.held))
	for m, held := range d.held {
		lags[m] = end
		if h, ok := held[at]; ok && h.Lag >= 0 {
			lags[m] = h.Lag
		} else if ok {
			lags[m] = max(end-h.Position, 0)
		}
	}
	return lags
}

func (d *deal) run() {
	d.limit()
	// A member that has to give up units gives up those that another one can go on with at once.
	d.keep(func(u *dealt) int {
		if d.movable(u) {
			return -1
		}
		return u.owner
	})
	d.keep(func(u *dealt) int { return u.owner })
	d.keep(d.best)
	d.spread()
	d.holdBack()
	d.copyState()
}

// limit decides how many units a member may have.
func (d *deal) limit() {
	sets := 0
	for _, u := range d.units {
		sets = max(sets, u.set+1)
	}
	members := len(d.count)
	d.each, d.further = len(d.units)/members, len(d.units)%members
	for m := range d.inSet {
		d.inSet[m] = make([]int, sets)
	}
}

// movable reports whether a member beside the owner has the state of a unit.
func (d *deal) movable(u *dealt) bool {
	for m, held := range d.held {
		if _, ok := held[u.Unit]; ok && m != u.owner && d.ready(u, m) {
			return true
		}
	}
	return false
}

// ready reports whether a member can go on with a unit without a long restore.
func (d *deal) ready(u *dealt, m int) bool { return u.lags[m] <= d.standbys.AcceptableLag }

// best returns, of the members that have state of a unit and may have it, the one that lacks the least.
func (d *deal) best(u *dealt) int {
	found := -1
	for m, held := range d.held {
		if _, ok := held[u.Unit]; !ok || !d.room(m) {
			continue
		}
		if found < 0 || cmp.Or(cmp.Compare(u.lags[m], u.lags[found]), cmp.Compare(d.count[m], d.count[found])) < 0 {
			found = m
		}
	}
	return found
}

// keep gives units that nobody has yet to the members that wanted names, as far as they may have more.
func (d *deal) keep(wanted func(*dealt) int) {
	for _, u := range d.units {
		if u.target >= 0 {
			continue
		}
		if m := wanted(u); m >= 0 && d.room(m) {
			d.give(u, m)
		}
	}
}

// spread gives the other units to those who have the least of their set, and the least of all.
func (d *deal) spread() {
	for _, u := range d.units {
		if u.target >= 0 {
			continue
		}
		to := -1
		for m := range d.count {
			if !d.room(m) {
				continue
			}
			if to < 0 || cmp.Or(cmp.Compare(d.inSet[m][u.set], d.inSet[to][u.set]), cmp.Compare(d.count[m], d.count[to])) < 0 {
				to = m
			}
		}
		d.give(u, to)
	}
}

func (d *deal) room(m int) bool {
	return d.count[m] < d.each || d.count[m] == d.each && d.further > 0
}

func (d *deal) give(u *dealt, m int) {
	if d.count[m] == d.each {
		d.further--
	}
	u.target = m
	d.count[m]++
	d.inSet[m][u.set]++
}

// holdBack leaves units where their state is until their targets have warmed up.
func (d *deal) holdBack() {
	warmUps := 0
	for _, u := range d.units {
		u.active = u.target
		if !u.stateful || d.ready(u, u.target) {
			continue
		}
		holder := d.holder(u)
		if u.lags[u.target] <= u.lags[holder] {
			continue
		}
		u.active = holder
		if warmUps < d.standbys.MaxWarmups {
			warmUps++
			u.warmUp = u.target
			u.standbys = append(u.standbys, u.target)
		}
	}
}

// holder returns who can go on with a unit best: its owner, or else the member that lacks the least and has the fewest units.
func (d *deal) holder(u *dealt) int {
	if u.owner >= 0 && d.ready(u, u.owner) {
		return u.owner
	}
	found := 0
	for m, lag := range u.lags {
		if cmp.Or(cmp.Compare(lag, u.lags[found]), cmp.Compare(d.count[m], d.count[found])) < 0 {
			found = m
		}
	}
	return found
}

// copyState decides who keeps copies: of those who have state of a unit the ones that lack the least of it, as far as the
// copies stay even; then those who keep the fewest.
func (d *deal) copyState() {
	copies, stateful := make([]int, len(d.held)), 0
	for _, u := range d.units {
		if u.stateful {
			stateful++
		}
	}
	members := len(d.held)
	limit := (stateful*d.standbys.Count + members - 1) / members
	d.eachCopy(func(u *dealt, m int) bool {
		_, ok := d.held[m][u.Unit]
		return ok && copies[m] < limit
	}, func(u *dealt, a, b int) int { return cmp.Compare(u.lags[a], u.lags[b]) }, copies)
	d.eachCopy(func(*dealt, int) bool { return true }, func(_ *dealt, a, b int) int {
		return cmp.Or(cmp.Compare(copies[a], copies[b]), cmp.Compare(d.count[a], d.count[b]))
	}, copies)
}

// eachCopy gives copies that are still wanted to members that may have them, in the order given.
func (d *deal) eachCopy(may func(u *dealt, m int) bool, order func(u *dealt, a, b int) int, copies []int) {
	for _, u := range d.units {
		if !u.stateful {
			continue
		}
		missing := d.standbys.Count - len(u.standbys)
		if u.warmUp >= 0 {
			missing++ // comes on top
		}
		var candidates []int
		for m := range d.held {
			if m != u.active && !slices.Contains(u.standbys, m) && may(u, m) {
				candidates = append(candidates, m)
			}
		}
		slices.SortStableFunc(candidates, func(a, b int) int { return order(u, a, b) })
		for _, m := range candidates[:max(min(missing, len(candidates)), 0)] {
			u.standbys = append(u.standbys, m)
			copies[m]++
		}
	}
}
