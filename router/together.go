package router

// together.go: statements that are sent in one request, each with a plan of its own.

import "slices"

// Together is the plan of statements that run one after the other in a request: the strictest in everything.
// Statements of one plan share it. Neither of them is changed.
func Together(p, q *Plan) *Plan {
	if p == q {
		return p
	}
	all, next := *p, *q
	all.Trackers, all.Untracked = slices.Clone(p.Trackers), slices.Clone(p.Untracked)
	all.Resets, all.Names, all.Drops = slices.Clone(p.Resets), slices.Clone(p.Names), slices.Clone(p.Drops)
	all.batch()
	next.batch()
	all.absorb(&next)
	all.Text, all.Digest, all.key = textTogether, digest(textTogether), ""
	all.calls, all.ifPure = nil, nil
	all.Statements = p.Statements + q.Statements
	return &all
}

const textTogether = "(several statements in one request)"
