// Prometheus metrics, read from the Control at each scrape. Labels are bounded: shards and servers of the
// config, classes, roles, reasons to pin. Never a user, a database or a statement.
package admin

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("leat_"+name, help, labels, nil)
}

var (
	buildInfo      = desc("build_info", "Always 1; the version is a label.", "version", "go")
	readyInfo      = desc("ready", "1 while /readyz says ready.")
	drainingInfo   = desc("draining", "1 while Leat drains.")
	startTime      = desc("start_time_seconds", "When Leat was started, as a Unix time.")
	mapVersion     = desc("map_version", "Version of the map in force.")
	configTime     = desc("config_loaded_seconds", "When the config in force was read, as a Unix time.")
	configFailed   = desc("config_reload_failed", "1 when the last reload was refused.")
	clients        = desc("clients", "Clients connected now.")
	clientsMax     = desc("clients_max", "Clients that may be connected.")
	clientsTotal   = desc("clients_total", "Clients that connected.")
	clientsRefused = desc("clients_refused_total", "Clients that were refused.")
	requests       = desc("requests_total", "Requests, by who answered: primary, replica or leat itself.", "by")
	duration       = desc("request_duration_seconds", "Time that requests took, by what they do to data.", "class")
	errorReplies   = desc("error_replies_total", "Error replies of servers.")
	retries        = desc("retries_total", "Requests sent again to another server because nothing of them had been sent.")
	misroutes      = desc("misroutes_total", "Statements that a replica refused as writes and the primary took.")
	cancels        = desc("cancels_total", "Statements that were cancelled on their server.")
	bytesOut       = desc("client_sent_bytes_total", "Bytes sent to clients.")
	pinned         = desc("pinned_sessions", "Sessions that keep their conn, by reason.", "reason")
	pins           = desc("pins_total", "How often sessions were pinned, by reason.", "reason")
	shardPrimary   = desc("shard_has_primary", "1 while the shard has a server that takes writes.", "shard")
	shardSplit     = desc("shard_split", "1 while two servers of the shard are writable and writes are refused.", "shard")
	shardHeld      = desc("shard_held_requests", "Requests that wait for a server of the shard.", "shard", "kind")
	shardMissed    = desc("shard_reads_on_primary_total", "Reads that the primary took: behind (no replica had the session's writes yet) or none (no replica could be used).", "shard", "why")
	shardExpired   = desc("shard_expired_positions_total", "Reads that asked for what the primary's history no longer holds.", "shard")
	plansBytes     = desc("plan_cache_bytes", "Bytes of the plan cache.")
	plansEntries   = desc("plan_cache_entries", "Plans in the cache.")
	plansHits      = desc("plan_cache_hits_total", "Statements whose plan was there.")
	plansMisses    = desc("plan_cache_misses_total", "Statements that had to be planned.")
	plansUnparsed  = desc("plan_unparsed_total", "Digests that the parser couldn't read.")
	serverUp       = desc("server_up", "1 while the server may be used.", "shard", "server")
	serverDrained  = desc("server_draining", "1 while an operator has taken the server out.", "shard", "server")
	serverPrimary  = desc("server_primary", "1 while the server is its shard's primary.", "shard", "server")
	serverLag      = desc("server_lag_seconds", "How far the replica is behind; absent when unknown.", "shard", "server")
	serverAvail    = desc("server_availability_ratio", "Share of time since the start in which the server answered.", "shard", "server")
	serverLatency  = desc("server_latency_seconds", "Moving average of the server's reply time.", "shard", "server")
	serverConns    = desc("server_conns", "Conns to the server, by state.", "shard", "server", "state")
	serverWaiting  = desc("server_waiting_sessions", "Sessions that wait for a conn to the server.", "shard", "server")
	serverOpened   = desc("server_conns_opened_total", "Conns opened to the server.", "shard", "server")
	serverFailed   = desc("server_conns_failed_total", "Conns to the server that couldn't be opened.", "shard", "server")
	serverTimeouts = desc("server_wait_timeouts_total", "Waits for a conn to the server that were in vain.", "shard", "server")
	serverRequests = desc("server_requests_total", "Requests that the server took.", "shard", "server")
	serverErrors   = desc("server_errors_total", "Requests that failed for reasons of the server's.", "shard", "server")
)

type (
	gaugeFunc   func(d *prometheus.Desc, v float64, labels ...string)
	counterFunc func(d *prometheus.Desc, v uint64, labels ...string)
)

// collector reads one Status for each scrape.
type collector struct{ control Control }

func metricsHandler(control Control) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collector{control},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Describe sends nothing: what there is depends on the config in force.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.control.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(buildInfo, 1, s.Version, runtime.Version())
	gauge(readyInfo, number(s.Ready))
	gauge(drainingInfo, number(s.Draining))
	gauge(startTime, float64(s.Started.UnixMilli())/1000)
	gauge(mapVersion, float64(s.MapVersion))
	gauge(configTime, float64(s.Config.Loaded.UnixMilli())/1000)
	gauge(configFailed, number(s.Config.Failed != ""))
	gauge(clients, float64(s.Clients.Now))
	gauge(clientsMax, float64(s.Clients.Max))
	counter(clientsTotal, s.Clients.Total)
	counter(clientsRefused, s.Clients.Refused)
	c.collectRequests(out, &s.Requests, counter)
	for _, p := range s.Pinned {
		gauge(pinned, float64(p.Sessions), p.Reason)
		counter(pins, p.Total, p.Reason)
	}
	gauge(plansBytes, float64(s.Plans.Bytes))
	gauge(plansEntries, float64(s.Plans.Entries))
	counter(plansHits, s.Plans.Hits)
	counter(plansMisses, s.Plans.Misses)
	counter(plansUnparsed, s.Plans.Unparsed)
	for i := range s.Shards {
		collectShard(&s.Shards[i], gauge, counter)
	}
	for i := range s.Servers {
		collectServer(&s.Servers[i], gauge, counter)
	}
}

func (collector) collectRequests(out chan<- prometheus.Metric, r *Requests, counter counterFunc) {
	counter(requests, r.ToPrimary, "primary")
	counter(requests, r.ToReplica, "replica")
	counter(requests, r.ByLeat, "leat")
	counter(errorReplies, r.Errors)
	counter(retries, r.Retries)
	counter(misroutes, r.Misroutes)
	counter(cancels, r.Cancels)
	counter(bytesOut, r.BytesOut)
	for _, c := range r.Classes {
		buckets := make(map[float64]uint64, len(c.Buckets))
		for _, b := range c.Buckets {
			buckets[b.UpTo] = b.Count
		}
		out <- prometheus.MustNewConstHistogram(duration, c.Count, c.Seconds, buckets, c.Name)
	}
}

func collectShard(s *Shard, gauge gaugeFunc, counter counterFunc) {
	gauge(shardPrimary, number(s.Primary != ""), s.Name)
	gauge(shardSplit, number(s.Split), s.Name)
	gauge(shardHeld, float64(s.HeldWrites), s.Name, "write")
	gauge(shardHeld, float64(s.HeldReads), s.Name, "read")
	counter(shardMissed, s.MissedReads, s.Name, "behind")
	counter(shardMissed, s.NoReplicaReads, s.Name, "none")
	counter(shardExpired, s.ExpiredPositions, s.Name)
}

func collectServer(s *Server, gauge gaugeFunc, counter counterFunc) {
	gauge(serverUp, number(s.State == "up" || s.State == "warming"), s.Shard, s.Address)
	gauge(serverDrained, number(s.State == "draining"), s.Shard, s.Address)
	gauge(serverPrimary, number(s.Role == "primary"), s.Shard, s.Address)
	if s.LagSeconds != nil {
		gauge(serverLag, *s.LagSeconds, s.Shard, s.Address)
	}
	gauge(serverAvail, s.Availability, s.Shard, s.Address)
	gauge(serverLatency, s.LatencySeconds, s.Shard, s.Address)
	gauge(serverConns, float64(s.Conns.Busy), s.Shard, s.Address, "busy")
	gauge(serverConns, float64(s.Conns.Open-s.Conns.Busy), s.Shard, s.Address, "idle")
	gauge(serverWaiting, float64(s.Conns.Waiting), s.Shard, s.Address)
	counter(serverOpened, s.Conns.Opened, s.Shard, s.Address)
	counter(serverFailed, s.Conns.Failed, s.Shard, s.Address)
	counter(serverTimeouts, s.Conns.Timeouts, s.Shard, s.Address)
	counter(serverRequests, s.Requests, s.Shard, s.Address)
	counter(serverErrors, s.Errors, s.Shard, s.Address)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
