package main

// The servers of MySQL's kin that are measured behind the proxies, and the feature table on them.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"leat/internal/localdb"
)

const database = "bench"

// The table is that of an online store with one wide row per entity, about 200 bytes.
const createTable = `CREATE DATABASE bench; CREATE TABLE bench.user_features (
  tenant_id VARCHAR(32) NOT NULL,
  user_id BIGINT NOT NULL,
  clicks_7d INT NOT NULL,
  purchases_7d INT NOT NULL,
  ctr_7d DOUBLE NOT NULL,
  avg_basket DECIMAL(10,2) NOT NULL,
  segment VARCHAR(16) NOT NULL,
  embedding VARBINARY(128) NOT NULL,
  updated_at TIMESTAMP NOT NULL,
  PRIMARY KEY (tenant_id, user_id)
)`

const featureColumns = "clicks_7d, purchases_7d, ctr_7d, avg_basket, segment, embedding, updated_at"

// tenants and usersPerTenant say which rows there are; lookup.lua has the same names.
var tenants = []string{"acme", "globex", "initech", "umbrella"}

const usersPerTenant = 25_000

// startMySQL runs a primary and a replica that has the feature table. Leat reads from the replica, as
// the other targets do, so that all of them ask the same server.
func startMySQL(ctx context.Context, flavor localdb.Flavor) (*localdb.Topology, error) {
	t, err := localdb.StartTopologyWith(ctx, localdb.TopologyOptions{Flavor: flavor, Replicas: 1})
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, t); err != nil {
		t.Close()
		return nil, fmt.Errorf("fill the feature table: %w", err)
	}
	return t, nil
}

func fill(ctx context.Context, t *localdb.Topology) error {
	if err := t.Primary().Exec(ctx, createTable); err != nil {
		return err
	}
	db, err := t.Primary().DB("root", "", database)
	if err != nil {
		return err
	}
	defer db.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for _, tenant := range tenants {
		const chunk = 1000
		for first := 1; first <= usersPerTenant; first += chunk {
			if _, err := db.ExecContext(ctx, insert(random, tenant, first, chunk)); err != nil {
				return err
			}
		}
	}
	return t.WaitSynced(ctx)
}

// insert makes one statement of n rows.
func insert(random *rand.Rand, tenant string, first, n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO user_features VALUES ")
	embedding := make([]byte, 128)
	for i := range n {
		for j := range embedding {
			embedding[j] = byte(random.Uint32())
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "('%s',%d,%d,%d,%.6f,%.2f,'segment-%d',x'%x','2026-01-01 00:00:00')", tenant, first+i,
			random.IntN(1000), random.IntN(50), random.Float64(), random.Float64()*200, random.IntN(20), embedding)
	}
	return b.String()
}
