package backend

// The question that tells which functions of a PostgreSQL database may have effects.

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"leat/proxy/wire"
)

// functionsQuery lists what was made after initdb: that is what OIDs from 16384 on are. A function is volatile if
// one overload is, or is a procedure, or an aggregate that is made of a volatile function, or has a default
// argument that calls anything.
var functionsQuery = `SELECT n.nspname, p.proname, pg_catalog.bool_or(p.provolatile = 'v' OR p.prokind = 'p'
		OR p.pronargdefaults > 0 AND p.proargdefaults::text ~ '[{](FUNC|OP|NEXTVALUE|DISTINCT|NULLIF|SCALARARRAYOP|ROWCOMPARE|COERCEVIAIO)'
		OR p.prokind = 'a' AND EXISTS (SELECT FROM pg_catalog.pg_proc f
			WHERE f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggmtransfn, a.aggmfinalfn, a.aggminvtransfn) AND f.provolatile = 'v'))
	FROM pg_catalog.pg_proc p
	JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
	LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
	WHERE p.oid >= 16384 GROUP BY 1, 2 LIMIT ` + strconv.Itoa(maxFunctions+1)

// Functions reads them over a conn to that database, which it closes.
func (p *postgresProber) Functions(ctx context.Context, database string) (map[wire.Function]wire.Volatility, error) {
	if p.err != nil {
		return nil, p.err
	}
	config := dialOnce(p.config)
	config.Database = database
	config.RuntimeParams["statement_timeout"] = strconv.FormatInt(catalogTimeout.Milliseconds(), 10)
	conn, err := p.logIn(ctx, config)
	if err != nil {
		return nil, err
	}
	found, err := readFunctions(ctx, conn)
	if err != nil {
		conn.Conn().Close()
		return nil, asPostgresError("list the functions", err)
	}
	return found, conn.Close(ctx)
}

func readFunctions(ctx context.Context, conn *pgconn.PgConn) (map[wire.Function]wire.Volatility, error) {
	found := map[wire.Function]wire.Volatility{}
	results := conn.Exec(ctx, functionsQuery)
	if results.NextResult() {
		for r := results.ResultReader(); r.NextRow(); {
			row := postgresRow(r.Values())
			if len(row) != 3 {
				break
			}
			effects := wire.Volatile
			if row.text(2) == "f" {
				effects = wire.Harmless
			}
			found[wire.Function{Schema: row.text(0), Name: row.text(1)}] = effects
		}
	}
	if err := results.Close(); err != nil {
		return nil, err
	}
	if len(found) > maxFunctions {
		return nil, fmt.Errorf("there are more than %d", maxFunctions)
	}
	return found, nil
}
