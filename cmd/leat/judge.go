// What an operator should mend about servers that answer: told in the same words by leat check, by the log of
// leat serve and by leatctl.
package main

import (
	"context"
	"log/slog"
	"time"

	"leat/proxy/backend"
)

// trouble is something wrong with a server. Leat goes on; the kind stays the same while the text may change.
type trouble struct{ kind, text string }

// troublesOf judges one server by what its last probe saw. One that is down says why in its state, and whether
// a shard has one primary is the shard's to say.
func troublesOf(s *backend.ServerStatus) []trouble {
	if s.State == "down" || s.State == "unprobed" || s.State == "draining" {
		return nil
	}
	var all []trouble
	if s.Replicates && !s.ReadOnly {
		all = append(all, trouble{"writable replica", "it is a replica, but takes writes of clients that connect to it directly; SET GLOBAL read_only = ON"})
	}
	if s.Replicates && s.LagUnknown != "" {
		all = append(all, trouble{"replication stopped", s.LagUnknown + "; it takes no reads while others can"})
	}
	if !s.Replicates && s.ReadOnly {
		all = append(all, trouble{"not replicating", "it is read only, but doesn't replicate from anywhere; it takes no reads while others can"})
	}
	return all
}

// watchPace is the time between two looks for troubles.
const watchPace = time.Second

// watchServers logs the servers' troubles until ctx ends.
func (in *instance) watchServers(ctx context.Context) {
	tick := time.NewTicker(watchPace)
	defer tick.Stop()
	w := watch{log: in.log, known: map[[2]string]bool{}}
	for {
		w.look(in.backend.Status())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// watch logs each trouble when it comes and when it goes.
type watch struct {
	log   *slog.Logger
	known map[[2]string]bool // server, kind
}

func (w *watch) look(servers []backend.ServerStatus) {
	now := map[[2]string]bool{}
	for i := range servers {
		s := &servers[i]
		for _, t := range troublesOf(s) {
			key := [2]string{s.Address, t.kind}
			if now[key] = true; !w.known[key] {
				w.log.Warn("server needs attention: "+t.kind, slog.String("shard", string(s.Shard)), slog.String("server", s.Address), slog.String("what", t.text))
			}
		}
	}
	for key := range w.known {
		if !now[key] {
			w.log.Info("server no longer needs attention: "+key[1], slog.String("server", key[0]))
		}
	}
	w.known = now
}
