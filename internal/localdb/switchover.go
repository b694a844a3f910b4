package localdb

// A new primary: in order (Switchover), or after the old one died (Promote).

import (
	"context"
	"errors"
	"fmt"
)

// Switchover makes server i the primary, losing no write: the old primary is closed for writes, the new
// one catches up and is opened for them, and all others follow it. Between the two there is no
// writable server. Connections stay open, but PostgreSQL's to the old primary, which restarts.
func (t *Topology) Switchover(ctx context.Context, i int) error {
	r, old := t.Flavor.replication(), t.Primary()
	if t.Servers[i] == old {
		return nil
	}
	position, err := r.close(ctx, t)
	if err == nil {
		err = t.waitPosition(ctx, t.Servers[i], position)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("close the old primary for writes: %w", err), r.open(ctx, t))
	}
	if err := t.Promote(ctx, i); err != nil {
		return err
	}
	if old.PID() != 0 { // it follows already
		return nil
	}
	return t.Follow(ctx, old)
}

// Promote makes server i the primary as it is, with what it has received, and makes the other
// running servers follow it. It is for after the old primary was killed: call Follow for that one
// once it runs again. Writes that server i never received are lost.
func (t *Topology) Promote(ctx context.Context, i int) error {
	r, s := t.Flavor.replication(), t.Servers[i]
	if err := r.applyReceived(ctx, s); err != nil {
		return err
	}
	if err := r.promote(ctx, s); err != nil {
		return fmt.Errorf("promote port %d: %w", s.Port, err)
	}
	s.opts.ReadOnly = false
	t.mu.Lock()
	t.primary = i
	t.mu.Unlock()
	for _, r := range t.Replicas() {
		if r.PID() == 0 {
			continue
		}
		if err := t.Follow(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
