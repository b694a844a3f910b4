// The demo's data: entities in the forms of Feast, users, and how rows are loaded.
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

// insert loads rows into a table, or some of its columns, many at a time.
func (s *onlineStore) insert(ctx context.Context, conn *sql.Conn, into string, rows []string) error {
	for len(rows) > 0 {
		n := min(rowsAtATime, len(rows))
		statement := s.sql.replace + " INTO " + into + " VALUES " + strings.Join(rows[:n], ",") + s.sql.orKeep
		if _, err := conn.ExecContext(ctx, statement, s.text...); err != nil {
			return fmt.Errorf("%s: %w", firstWords(statement), err)
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
