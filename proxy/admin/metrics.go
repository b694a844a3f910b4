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
	requests       = desc("requests_total", "Requests by class and by the role of the server that took them.", "class", "role")
	retries        = desc("retries_total", "Requests sent again to another server because nothing of them had been sent.")
	misroutes      = desc("misroutes_total", "Statements that a replica refused as writes and the primary took.")
	pinned         = desc("pinned_sessions", "Sessions that keep their conn, by reason.", "reason")
	held           = desc("held_requests", "Writes that wait for a primary.")
	bytesTotal     = desc("client_bytes_total", "Bytes from (in) and to (out) clients.", "direction")
	plansBytes     = desc("plan_cache_bytes", "Bytes of the plan cache.")
	plansEntries   = desc("plan_cache_entries", "Plans in the cache.")
	plansHits      = desc("plan_cache_hits_total", "Statements whose plan was there.")
	plansMisses    = desc("plan_cache_misses_total", "Statements that had to be planned.")
	plansUnparsed  = desc("plan_unparsed_total", "Digests that the parser couldn't read.")
	serverHealthy  = desc("server_healthy", "1 while the server may be used.", "shard", "server")
	serverDrained  = desc("server_drained", "1 while an operator has taken the server out.", "shard", "server")
	serverPrimary  = desc("server_primary", "1 while the server is its shard's primary.", "shard", "server")
	serverLag      = desc("server_lag_seconds", "How far the replica is behind; absent when unknown.", "shard", "server")
	serverAvail    = desc("server_availability_ratio", "Share of time since the start in which the server answered.", "shard", "server")
	serverLatency  = desc("server_latency_seconds", "Moving average of the server's reply time.", "shard", "server")
	serverConns    = desc("server_conns", "Conns to the server, by state.", "shard", "server", "state")
	serverWaiting  = desc("server_waiting_sessions", "Sessions that wait for a conn to the server.", "shard", "server")
	serverRequests = desc("server_requests_total", "Requests that the server took.", "shard", "server")
	serverErrors   = desc("server_errors_total", "Requests that failed for reasons of the server's.", "shard", "server")
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
	for _, r := range s.Requests {
		counter(requests, r.Count, r.Class, r.Role)
	}
	counter(retries, s.Retries)
	counter(misroutes, s.Misroutes)
	for _, p := range s.Pinned {
		gauge(pinned, float64(p.Sessions), p.Reason)
	}
	gauge(held, float64(s.Held))
	counter(bytesTotal, s.BytesIn, "in")
	counter(bytesTotal, s.BytesOut, "out")
	gauge(plansBytes, float64(s.Plans.Bytes))
	gauge(plansEntries, float64(s.Plans.Entries))
	counter(plansHits, s.Plans.Hits)
	counter(plansMisses, s.Plans.Misses)
	counter(plansUnparsed, s.Plans.Unparsed)
	for i := range s.Servers {
		collectServer(&s.Servers[i], gauge, counter)
	}
}

func collectServer(s *Server, gauge func(*prometheus.Desc, float64, ...string), counter func(*prometheus.Desc, uint64, ...string)) {
	gauge(serverHealthy, number(s.State == "healthy"), s.Shard, s.Address)
	gauge(serverDrained, number(s.State == "drained"), s.Shard, s.Address)
	gauge(serverPrimary, number(s.Role == "primary"), s.Shard, s.Address)
	if s.LagSeconds != nil {
		gauge(serverLag, *s.LagSeconds, s.Shard, s.Address)
	}
	gauge(serverAvail, s.Availability, s.Shard, s.Address)
	gauge(serverLatency, s.LatencySeconds, s.Shard, s.Address)
	gauge(serverConns, float64(s.Conns.Busy), s.Shard, s.Address, "busy")
	gauge(serverConns, float64(s.Conns.Open-s.Conns.Busy), s.Shard, s.Address, "idle")
	gauge(serverWaiting, float64(s.Conns.Waiting), s.Shard, s.Address)
	counter(serverRequests, s.Requests, s.Shard, s.Address)
	counter(serverErrors, s.Errors, s.Shard, s.Address)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
