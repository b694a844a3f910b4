// What the admin port shows and does, taken from the running instance.
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"leat/proxy"
	"leat/proxy/admin"
	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
)

// control is the instance as the admin port sees it.
type control struct{ *instance }

var _ admin.Control = control{}

func (c control) Status() admin.Status {
	s, ready := c.proxy.Stats(), c.Ready()
	out := admin.Status{
		Version: ownVersion(), PID: os.Getpid(), Started: c.started,
		Ready: ready == nil, Draining: c.draining.Load(),
		Clients:  admin.Clients{Now: s.ClientsNow, Total: s.ClientsTotal, Refused: s.ClientsRefused},
		Requests: requestsOf(&s),
		Pinned:   pinsOf(&s),
		Shards:   shardsOf(c.backend.Shards()),
		Servers:  c.Servers(),
	}
	if ready != nil {
		out.NotReady = ready.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.current.listen.ports() {
		if p.address != "" {
			out.Listen = append(out.Listen, p.address)
		}
	}
	out.MapVersion = c.version
	out.Config = admin.ConfigState{File: c.path, Loaded: c.at, Failed: c.failed}
	out.Clients.Max = c.current.maxClients()
	out.Plans = plansOf(c.router.Stats())
	return out
}

func requestsOf(s *proxy.Stats) admin.Requests {
	out := admin.Requests{
		Total: s.Requests, ToPrimary: s.ToPrimary, ToReplica: s.ToReplica,
		ByLeat: s.Requests - min(s.Requests, s.ToPrimary+s.ToReplica), // counters are read one after the other
		Errors: s.Errors, Retries: s.Retries, Misroutes: s.Misroutes, Cancels: s.Cancels, BytesOut: s.BytesOut,
	}
	for _, class := range []router.Class{router.ClassRead, router.ClassWrite, router.ClassSession} {
		h := s.Latency[class.String()]
		c := admin.Class{Name: class.String(), Seconds: h.Sum.Seconds()}
		for i, n := range h.Counts {
			c.Count += n
			if i < len(h.Bounds) {
				c.Buckets = append(c.Buckets, admin.Bucket{UpTo: h.Bounds[i].Seconds(), Count: c.Count})
			}
		}
		out.Classes = append(out.Classes, c)
	}
	return out
}

func pinsOf(s *proxy.Stats) []admin.PinCount {
	reasons := maps.Clone(s.Pins)
	for reason := range s.PinnedNow {
		if _, ok := reasons[reason]; !ok {
			reasons[reason] = 0
		}
	}
	out := make([]admin.PinCount, 0, len(reasons))
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, admin.PinCount{Reason: reason, Sessions: s.PinnedNow[reason], Total: s.Pins[reason]})
	}
	return out
}

func plansOf(s router.Stats) admin.Plans {
	return admin.Plans{Entries: s.Entries, Bytes: s.Bytes, Hits: s.Hits, Misses: s.Misses, Unparsed: s.Unparsed}
}

func shardsOf(list []backend.ShardStatus) []admin.Shard {
	out := make([]admin.Shard, 0, len(list))
	for _, s := range list {
		out = append(out, admin.Shard{
			Name: string(s.Shard), Primary: s.Primary, Split: s.Split, Reason: s.Reason,
			HeldWrites: s.HeldWrites, HeldReads: s.HeldReads,
			MissedReads: s.MissedReads, NoReplicaReads: s.NoReplicaReads, ExpiredPositions: s.ExpiredPositions,
		})
	}
	return out
}

func (c control) Servers() []admin.Server {
	list := c.backend.Status()
	out := make([]admin.Server, 0, len(list))
	for _, s := range list {
		server := admin.Server{
			Address: s.Address, Shard: string(s.Shard), Role: s.Role, Class: s.Class, Weight: s.Weight,
			State: s.State, Reason: s.Reason, Version: s.Version, Applied: s.Applied,
			Availability: s.Availability / 100, LatencySeconds: s.Latency.Seconds(),
			Conns: admin.Conns{
				Open: s.Idle + s.Lent, Busy: s.Lent, Waiting: s.Waiting, Max: s.PoolSize,
				Opened: s.Opened, Failed: s.DialErrors, Timeouts: s.Timeouts,
			},
			Requests: s.Requests, Errors: s.Errors,
		}
		for _, t := range troublesOf(&s) {
			server.Warnings = append(server.Warnings, t.text)
		}
		if lag := s.Lag.Seconds(); s.Lag >= 0 && s.Role == wire.Replica.String() {
			server.LagSeconds = &lag
		}
		out = append(out, server)
	}
	return out
}

func (c control) DrainServer(address string) error   { return notFound(c.backend.Drain(address)) }
func (c control) UndrainServer(address string) error { return notFound(c.backend.Undrain(address)) }

// missing is an error that can only mean that there is no such thing.
type missing struct{ error }

func (missing) Is(target error) bool { return target == admin.ErrNotFound }

func notFound(err error) error {
	if err == nil {
		return nil
	}
	return missing{err}
}

func (c control) Sessions() []admin.Session {
	list := c.proxy.Sessions()
	slices.SortFunc(list, func(a, b proxy.SessionInfo) int { return int(a.ID) - int(b.ID) })
	out := make([]admin.Session, 0, len(list))
	for _, s := range list {
		session := admin.Session{
			ID: s.ID, User: s.User, Remote: s.Remote, Program: s.Program, Database: s.Database,
			Pinned: s.Pinned, Server: s.Server, Since: s.Since, Busy: s.Busy,
		}
		if s.Digest != 0 {
			session.Digest = fmt.Sprintf("%016x", s.Digest)
		}
		out = append(out, session)
	}
	return out
}

func (c control) Kill(id uint32) error {
	err := c.proxy.Kill(id)
	var w *wire.Error
	if errors.As(err, &w) && w.Code == wire.CodeNoSuchThread {
		return notFound(err)
	}
	return err
}

func (c control) Digests() []admin.Digest {
	list := c.proxy.Digests()
	out := make([]admin.Digest, 0, len(list))
	for _, d := range list {
		out = append(out, admin.Digest{
			Digest: fmt.Sprintf("%016x", d.Digest), Text: strings.ToValidUTF8(d.Text, "?"), Class: d.Class, Rule: d.Rule,
			Count: d.Count, Errors: d.Errors, Rows: d.Rows, TotalSeconds: d.Total.Seconds(), MaxSeconds: d.Max.Seconds(),
		})
	}
	return out
}

func (c control) Explain(q admin.Question) (admin.Explanation, error) {
	e, err := c.proxy.Explain(q.User, q.Database, q.SQL)
	return admin.Explanation(e), err
}
