package backend

// The policies that choose among a shard's replicas, the moving average, and slow start.

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Policies of choosing among the servers that may take a read.
const (
	LeastConnections   = "least_connections"    // the fewest conns lent, in proportion to the weights
	Random             = "random"               // by weight
	RoundRobin         = "round_robin"          // in turn, whatever the weights
	WeightedRoundRobin = "weighted_round_robin" // in turn, by weight, evenly mixed
	Fastest            = "fastest"              // the faster of two random ones, by a moving average
)

// Policies are the names of all policies.
var Policies = []string{LeastConnections, Random, RoundRobin, WeightedRoundRobin, Fastest}

// choose picks one of the servers by the policy. Turn grows by one with each choice in the shard.
// (Direct calls: through a function value the list of servers would have to be allocated.)
func choose(policy string, among []*Server, turn uint64) *Server {
	switch policy {
	case Random:
		return random(among)
	case RoundRobin:
		return roundRobin(among, turn)
	case WeightedRoundRobin:
		return weightedRoundRobin(among, turn)
	case Fastest:
		return fastest(among)
	}
	return leastConnections(among, turn)
}

func (s *Server) weight() int { return s.settings.Load().weight }

func totalWeight(among []*Server) int {
	total := 0
	for _, s := range among {
		total += s.weight()
	}
	return total
}

// at is the server where the weights, laid end to end, cover the point.
func at(among []*Server, point int) *Server {
	for _, s := range among {
		if point -= s.weight(); point < 0 {
			return s
		}
	}
	return among[len(among)-1]
}

func random(among []*Server) *Server {
	return at(among, rand.IntN(max(totalWeight(among), 1)))
}

func roundRobin(among []*Server, turn uint64) *Server {
	return among[turn%uint64(len(among))]
}

// weightedRoundRobin steps around the circle of weights by the golden ratio: the shares are exact
// to within a turn or two at any moment, the turns are evenly mixed, and nothing has to be kept
// for a set of servers that changes from one choice to the next.
func weightedRoundRobin(among []*Server, turn uint64) *Server {
	const golden = 0x9e3779b97f4a7c15 // 2^64 / golden ratio
	part := float64(turn*golden>>11) / (1 << 53)
	return at(among, int(part*float64(totalWeight(among))))
}

// leastConnections breaks ties in weighted turns, so that idle servers share by weight.
func leastConnections(among []*Server, turn uint64) *Server {
	var buf [maxServers]*Server
	best := buf[:0]
	for _, s := range among {
		if len(best) == 0 {
			best = append(best, s)
			continue
		}
		mine := int(s.pool.load.Load()) * best[0].weight()
		theirs := int(best[0].pool.load.Load()) * s.weight()
		if mine < theirs {
			best = append(best[:0], s)
		} else if mine == theirs {
			best = append(best, s)
		}
	}
	return weightedRoundRobin(best, turn)
}

// tie is how much slower a server must be to be passed over: chance decides among near equals.
const tie = 1.2

func fastest(among []*Server) *Server {
	if len(among) == 1 {
		return among[0]
	}
	i, k := rand.IntN(len(among)), rand.IntN(len(among)-1)
	if k >= i {
		k++
	}
	a, b := among[i], among[k]
	now := a.b.now()
	costA, costB := a.speed.at(now), b.speed.at(now)
	if costA == 0 || costB == 0 {
		costA, costB = 1, 1 // one isn't measured yet: by load alone
	}
	loadA, loadB := 1+float64(a.pool.load.Load()), 1+float64(b.pool.load.Load())
	if tie*costB*loadB*float64(a.weight()) < costA*loadA*float64(b.weight()) {
		return b
	}
	return a
}

// speed is a moving average of a server's time to reply. Old samples fade by time, and without new
// ones the average itself does, so that a server that was slow is tried again.
type speed struct {
	average atomic.Uint64 // bits of a float64, nanoseconds; 0: nothing measured
	updated atomic.Int64  // on the backend's clock
}

const (
	fadeSamples = 2 * time.Second
	fadeIdle    = 20 * time.Second
	minPenalty  = 100 * time.Millisecond
)

// at is the average as of now, in nanoseconds.
func (s *speed) at(now time.Duration) float64 {
	average := math.Float64frombits(s.average.Load())
	idle := now - time.Duration(s.updated.Load())
	if idle < fadeSamples || average == 0 {
		return average
	}
	return average * math.Exp(-float64(idle)/float64(fadeIdle))
}

// observe adds a sample. Two at the same time may lose one; it is an average.
func (s *speed) observe(now, took time.Duration) {
	average, sample := s.at(now), float64(max(took, 1))
	if average == 0 {
		s.store(now, sample)
		return
	}
	since := float64(now - time.Duration(s.updated.Load()))
	s.store(now, average+(sample-average)*since/(since+float64(fadeSamples)))
}

// keep counts a request that the server refused: no faster than the others.
func (s *speed) keep(now, took time.Duration) {
	if average := s.at(now); average > 0 {
		s.store(now, max(average, float64(took)))
	}
}

// punish makes an error count as a slow reply: failing fast must not attract traffic.
func (s *speed) punish(now, took time.Duration) {
	s.store(now, max(4*s.at(now), float64(took), float64(minPenalty)))
}

func (s *speed) store(now time.Duration, average float64) {
	s.average.Store(math.Float64bits(average))
	s.updated.Store(int64(now))
}

// takesItsShare is the slow start of a server that came back: it is passed over for most choices
// at first, and for none after SlowStart.
func (s *Server) takesItsShare(now time.Duration) bool {
	began := s.warm.Load()
	if began == 0 {
		return true
	}
	ramp := s.settings.Load().slowStart
	done := now - time.Duration(began)
	if done >= ramp {
		s.warm.CompareAndSwap(began, 0)
		return true
	}
	return rand.Float64() < max(0.05, float64(done)/float64(ramp))
}
