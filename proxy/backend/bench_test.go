package backend

// What lending a conn costs.

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"leat/proxy/wire"
	"leat/shard"
)

// BenchmarkLend is what a request pays the backend: acquire, start, done, release.
func BenchmarkLend(b *testing.B) {
	for _, policy := range Policies {
		b.Run(policy, func(b *testing.B) {
			w, cfg := one()
			cfg.Shards[0].Balance = policy
			be, err := New(cfg, map[shard.Dialect]wire.Dialer{shard.MySQL: w}, slog.New(slog.NewTextHandler(io.Discard, nil)))
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- be.Run(ctx) }()
			if err := be.Ready(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				n := read()
				for pb.Next() {
					c, err := be.Acquire(ctx, n)
					if err != nil {
						b.Error(err)
						return
					}
					c.Start(false)
					c.Done(nil)
					c.Release()
				}
			})
			cancel()
			<-done
		})
	}
}
