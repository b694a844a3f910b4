package localdb

// After a disaster: which replica has the most, and making a server anew from the primary's history.

import (
	"context"
	"errors"
	"os"
)

// MostAdvanced is the running replica that has received most of what the primary wrote. All of them stop
// fetching and apply what they have: call it when the primary is gone, and Promote the one it names.
func (t *Topology) MostAdvanced(ctx context.Context) (int, error) {
	r := t.Flavor.replication()
	best, position := -1, ""
	for i, s := range t.Servers {
		if s == t.Primary() || s.PID() == 0 {
			continue
		}
		if err := r.applyReceived(ctx, s); err != nil {
			return -1, err
		}
		has, err := r.position(ctx, s)
		if err != nil {
			return -1, err
		}
		if best >= 0 {
			behind, err := r.contains(ctx, s, position, has)
			if err != nil {
				return -1, err
			}
			if behind {
				continue
			}
		}
		best, position = i, has
	}
	if best < 0 {
		return -1, errors.New("no replica runs")
	}
	return best, nil
}

// Rebuild makes server i anew, on the same port, with nothing of its own: a replica of the primary. It is for a
// primary that died with writes that no other server has.
func (t *Topology) Rebuild(ctx context.Context, i int) error {
	s := t.Servers[i]
	if s == t.Primary() {
		return errors.New("the primary can't be rebuilt from itself")
	}
	return t.rebuild(ctx, s)
}

func (t *Topology) rebuild(ctx context.Context, s *Server) error {
	s.Kill()
	if err := os.RemoveAll(s.dataDir()); err != nil {
		return err
	}
	s.opts.ReadOnly = true
	return t.Flavor.replication().rebuild(ctx, t, s)
}

// Rejoin starts server i, which died as the primary, as a replica of the one that took over: with its data
// if the new primary has all of it, else made anew.
func (t *Topology) Rejoin(ctx context.Context, i int) error {
	s := t.Servers[i]
	s.opts.ReadOnly = true
	return t.Flavor.replication().rejoin(ctx, t, s)
}
