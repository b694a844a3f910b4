package localdb

// After a disaster: which replica has the most, and making a server anew from the primary's history.

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// MostAdvanced is the running replica that has received most of what the primary wrote. All of them stop
// fetching and apply what they have: call it when the primary is gone, and Promote the one it names.
func (t *Topology) MostAdvanced(ctx context.Context) (int, error) {
	best, position := -1, ""
	for i, s := range t.Servers {
		if s == t.Primary() || s.PID() == 0 {
			continue
		}
		if err := t.applyReceived(ctx, s); err != nil {
			return -1, err
		}
		has, err := s.Value(ctx, t.sql().position)
		if err != nil {
			return -1, err
		}
		if best >= 0 {
			behind, err := s.Value(ctx, fmt.Sprintf(t.sql().contains, quote(position), quote(has)))
			if err != nil {
				return -1, err
			}
			if behind == "1" {
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

// Rebuild makes server i anew, on the same port: an empty one, that follows the primary from the beginning
// of its history. It is for a primary that died with writes that no other server has. It gets another id,
// since a server doesn't replicate what comes from its own.
func (t *Topology) Rebuild(ctx context.Context, i int) error {
	s := t.Servers[i]
	if s == t.Primary() {
		return errors.New("the primary can't be rebuilt from itself")
	}
	s.Kill()
	if err := os.RemoveAll(s.dataDir()); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.opts.ReadOnly = true
	s.opts.ServerID += 1000
	if err := s.start(ctx); err != nil {
		return err
	}
	return t.Follow(ctx, s)
}

// Rejoin starts server i, which died as the primary, as a replica of the one that took over: with its data
// if the new primary has all of it, else made anew.
func (t *Topology) Rejoin(ctx context.Context, i int) error {
	s := t.Servers[i]
	if t.Flavor == MariaDB { // whose positions don't tell which server's writes they count
		return t.Rebuild(ctx, i)
	}
	s.opts.ReadOnly = true
	if err := s.start(ctx); err != nil {
		return err
	}
	has, err := s.Value(ctx, t.sql().position)
	if err != nil {
		return err
	}
	same, err := t.Primary().Value(ctx, "SELECT GTID_SUBSET("+quote(has)+", @@GLOBAL.gtid_executed)")
	if err != nil {
		return err
	}
	if same != "1" {
		return t.Rebuild(ctx, i)
	}
	return t.Follow(ctx, s)
}
