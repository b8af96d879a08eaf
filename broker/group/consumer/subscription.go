package consumer

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
)

// maxRegexBytes bounds a regular expression. With it, and with the limits of package
// regexp on repetition, one takes a few megabytes at most while topics are matched.
const maxRegexBytes = 1024

// compile reads the regular expression of a subscription, in the syntax of RE2. It is to
// match the whole name of a topic.
func compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxRegexBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrInvalidRegex, len(pattern), maxRegexBytes)
	}
	// On its own first, or "a)(b" would get through in the parentheses.
	if _, err := syntax.Parse(pattern, syntax.Perl); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	return re, nil
}

// retarget computes the targets of all members if the topics have changed, or something
// else asked for it; subscribed says that a member subscribes to something else.
func (g *Group) retarget(topics Topics, subscribed bool) {
	version := topics.Version()
	moved := !g.compared || g.topicsVersion != version
	if !moved && !subscribed && g.epoch > 0 && g.epoch == g.targetEpoch {
		return
	}
	if moved {
		clear(g.matches)
	}
	reads := make(map[string][]string, len(g.members))
	found := map[string]Topic{}
	for id, m := range g.members {
		for _, name := range g.subscription(m, topics) {
			if t, ok := topics.Topic(name); ok {
				found[name] = t
				reads[id] = append(reads[id], name)
			}
		}
	}
	g.forgetMatches()
	hash := hashTopics(found)
	if subscribed || g.epoch == 0 || hash != g.topicsHash {
		g.topicsHash = hash
		g.bump()
	}
	g.topicsVersion, g.compared = version, true
	if g.epoch > g.targetEpoch {
		g.assign(reads, found)
	}
}

// subscription lists the topics that a member reads, ascending and each once, also
// those by name that there are not.
func (g *Group) subscription(m *member, topics Topics) []string {
	if m.regex == "" {
		return m.topics
	}
	matched, known := g.matches[m.regex]
	if !known {
		re, err := compile(m.regex)
		if err == nil { // it was compiled before it was taken; an older release may have taken more
			for name := range topics.Names() {
				if re.MatchString(name) {
					matched = append(matched, name)
				}
			}
		}
		g.matches[m.regex] = matched
	}
	all := slices.Concat(m.topics, matched)
	slices.Sort(all)
	return slices.Compact(all)
}

// forgetMatches drops the topics of regular expressions that no member has any more.
func (g *Group) forgetMatches() {
	used := map[string]bool{}
	for _, m := range g.members {
		used[m.regex] = true
	}
	maps.DeleteFunc(g.matches, func(regex string, _ []string) bool { return !used[regex] })
}

// hashTopics tells one set of topics from another by names, ids and partitions.
func hashTopics(topics map[string]Topic) uint64 {
	if len(topics) == 0 {
		return 0
	}
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		t := topics[name]
		var b []byte
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(append(b, name...), t.ID[:]...)
		_, _ = h.Write(binary.BigEndian.AppendUint32(b, uint32(t.Partitions))) // never fails
	}
	return h.Sum64()
}
