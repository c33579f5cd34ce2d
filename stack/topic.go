package stack

import "slices"

// topic is what a query is about: those are asked who know something of it.
type topic uint8

const (
	ofHeard topic = iota
	ofUnheard
	ofRoom
	ofCredit
	ofHolding
	ofReached
	ofDrained
	ofMerging
	ofPromise
	topics
)

// answers notes what a layer answers.
func (s *Stack) answers(a Answerer, qs []Query) {
	for t := range topics {
		about := func(q Query) bool { return q.query() == t }
		if len(qs) == 0 || slices.ContainsFunc(qs, about) {
			s.answerers[t] = append(s.answerers[t], a)
		}
	}
}
