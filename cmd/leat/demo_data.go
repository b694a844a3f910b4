// The demo's tables: what a Feast online store keeps (a row per entity and feature), and a wide table
// with a row per user, as hand-written stores have.
package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	demoDatabase = "features"
	demoDrivers  = 2000 // entities of demo_driver_stats, with demoFeatures rows each
	demoUsers    = 5000 // rows of user_features
	demoTenants  = 10
	rowsAtATime  = 500
)

var demoFeatures = []string{"conv_rate", "acc_rate", "avg_daily_trips", "rating", "cancel_rate"}

var demoTables = []string{
	`CREATE TABLE IF NOT EXISTS demo_driver_stats (
		entity_key VARCHAR(512) NOT NULL, feature_name VARCHAR(256) NOT NULL, value BLOB,
		event_ts TIMESTAMP NULL, created_ts TIMESTAMP NULL, PRIMARY KEY (entity_key, feature_name))`,
	`CREATE TABLE IF NOT EXISTS user_features (
		tenant_id VARCHAR(32) NOT NULL, user_id INT NOT NULL, version INT NOT NULL DEFAULT 0,
		clicks_7d INT NOT NULL, spend_30d DOUBLE NOT NULL, segment VARCHAR(32) NOT NULL, embedding VARBINARY(256) NOT NULL,
		updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (tenant_id, user_id))`,
}

// loadDemo makes and fills the tables, through Leat.
func loadDemo(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	setup := append([]string{"CREATE DATABASE IF NOT EXISTS " + demoDatabase, "USE " + demoDatabase}, demoTables...)
	for _, statement := range setup {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", firstWords(statement), err)
		}
	}
	var drivers, users []string
	for id := range demoDrivers {
		for _, feature := range demoFeatures {
			drivers = append(drivers, fmt.Sprintf("('%s','%s',0x%s,NOW(),NOW())", entityKey(id), feature, featureValue()))
		}
	}
	for id := range demoUsers {
		users = append(users, fmt.Sprintf("('%s',%d,%d,%.2f,'segment-%d',0x%s)",
			tenantOf(id), id, rand.IntN(500), 1000*rand.Float64(), id%7, embedding()))
	}
	if err := insert(ctx, conn, "REPLACE INTO demo_driver_stats VALUES ", drivers); err != nil {
		return err
	}
	return insert(ctx, conn, "REPLACE INTO user_features (tenant_id, user_id, clicks_7d, spend_30d, segment, embedding) VALUES ", users)
}

func insert(ctx context.Context, conn *sql.Conn, head string, rows []string) error {
	for len(rows) > 0 {
		n := min(rowsAtATime, len(rows))
		if _, err := conn.ExecContext(ctx, head+strings.Join(rows[:n], ",")); err != nil {
			return fmt.Errorf("%s: %w", firstWords(head), err)
		}
		rows = rows[n:]
	}
	return nil
}

func firstWords(statement string) string {
	words := strings.Fields(statement)
	return strings.Join(words[:min(3, len(words))], " ")
}

func tenantOf(user int) string { return fmt.Sprintf("tenant-%d", user%demoTenants) }

// entityKey is {driver_id: id} as Feast serializes it (version 3), in hex.
func entityKey(id int) string {
	const name = "driver_id"
	b := binary.LittleEndian.AppendUint32(nil, 1) // join keys
	b = binary.LittleEndian.AppendUint32(b, 2)    // a string:
	b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
	b = append(b, name...)
	b = binary.LittleEndian.AppendUint32(b, 4) // an int64:
	b = binary.LittleEndian.AppendUint32(b, 8)
	b = binary.LittleEndian.AppendUint64(b, uint64(id))
	return hex.EncodeToString(b)
}

// featureValue is a double as Feast's protobuf Value, in hex.
func featureValue() string {
	b := binary.LittleEndian.AppendUint64([]byte{0x29}, math.Float64bits(rand.Float64()))
	return hex.EncodeToString(b)
}

func embedding() string {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return hex.EncodeToString(b)
}

// waitFor tries until it works or ctx ends.
func waitFor(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return err
		}
	}
}
