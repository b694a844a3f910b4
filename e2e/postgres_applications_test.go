package e2e

// What applications in Java, JavaScript and Go do with PostgreSQL: JDBC, Node's pg, GORM, and Feast's server in Go.

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"leat/internal/localdb"
)

func TestPostgresApplications(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 4})
		for name, run := range map[string]func(context.Context, string, *transcript) error{
			"gorm": pgGORM(false), "gorm_simple_protocol": pgGORM(true), "feast_go": feastGo,
		} {
			t.Run(name, func(t *testing.T) { bothWays(ctx, t, top, l, run) })
		}
		t.Run("jdbc", func(t *testing.T) { checkPgJDBC(ctx, t, top, l) })
		t.Run("node", func(t *testing.T) { checkPgNode(ctx, t, top, l) })
	})
}

func checkPgJDBC(ctx context.Context, t *testing.T, top *localdb.Topology, l *leat) {
	const jar = "/usr/share/java/postgresql.jar"
	_, err := os.Stat(jar)
	need(t, false, err)
	_, err = exec.LookPath("javac")
	need(t, false, err)
	classes := t.TempDir()
	if out, err := exec.CommandContext(ctx, "javac", "-cp", jar, "-d", classes, "testdata/clients/CheckPg.java").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
		_, port, _ := net.SplitHostPort(address)
		return tr.wellDone(exec.CommandContext(ctx, "java", "-cp", jar+":"+classes, "CheckPg", port))
	})
}

func checkPgNode(ctx context.Context, t *testing.T, top *localdb.Topology, l *leat) {
	npm, err := exec.LookPath("npm")
	need(t, false, err)
	if os.Getenv("LEAT_CLIENTS") != "all" {
		t.Skip("pg has to be downloaded: make clients does it")
	}
	dir := t.TempDir()
	install := exec.CommandContext(ctx, npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "pg@8.23.1", "pg-cursor@2.22.0")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install pg: %v\n%s", err, out)
	}
	bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
		_, port, _ := net.SplitHostPort(address)
		cmd := exec.CommandContext(ctx, "node", "testdata/clients/check_pg.js", port)
		cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
		return tr.wellDone(cmd)
	})
}

// pgGORM uses the tables of MySQL's test of GORM.
func pgGORM(simple bool) func(context.Context, string, *transcript) error {
	return func(ctx context.Context, address string, tr *transcript) error {
		dialector := gormpostgres.New(gormpostgres.Config{DSN: pgURL(address), PreferSimpleProtocol: simple})
		db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard, TranslateError: true})
		if err != nil {
			return err
		}
		pool, err := db.DB()
		if err != nil {
			return err
		}
		defer pool.Close()
		pool.SetMaxOpenConns(1) // one session, which reads its own writes
		db = db.WithContext(ctx)
		if err := db.Migrator().DropTable(&item{}, &owner{}); err != nil {
			return err
		}
		for range 2 { // the second time it looks at what is there
			if err := db.AutoMigrate(&owner{}, &item{}); err != nil {
				return err
			}
		}
		for _, name := range []string{"ä1", "ä2", "ä3", "ä1"} {
			made := owner{Name: name, Items: []item{{Label: "a"}, {Label: "b"}}}
			err := db.Create(&made).Error
			tr.say("created: %+v, duplicate: %t", made, errors.Is(err, gorm.ErrDuplicatedKey))
			var got owner
			err = db.Preload("Items").First(&got, "name = ?", name).Error
			tr.say("found: %+v %v", got, err)
		}
		undone := errors.New("undone")
		err = db.Transaction(func(tx *gorm.DB) error {
			tr.say("deleted: %d", tx.Where("1 = 1").Delete(&item{}).RowsAffected)
			inner := tx.Transaction(func(tx *gorm.DB) error { return tx.Exec("SELECT 1 / 0").Error })
			tr.say("inner: %v", inner)
			return undone
		})
		tr.say("outer: %v", err)
		var n int64
		err = db.Model(&item{}).Where("label IN ?", []string{"a", "b"}).Count(&n).Error
		tr.say("count: %d %v", n, err)
		columns, err := db.Migrator().ColumnTypes(&owner{})
		for _, c := range columns {
			tr.say("column: %s %s", c.Name(), c.DatabaseTypeName())
		}
		return err
	}
}

// feastGo does what Feast's server in Go asks its online store: by pgx, without a filter of features, with the schema as
// a startup parameter.
func feastGo(ctx context.Context, address string, tr *transcript) error {
	conn, err := pgx.Connect(ctx, pgURL(address, "search_path=public"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := &pgxTeller{conn: conn, tr: tr}
	err = p.exec(ctx, "DROP TABLE IF EXISTS feast_go",
		"CREATE TABLE feast_go (entity_key bytea, feature_name text, value bytea, event_ts timestamptz, PRIMARY KEY (entity_key, feature_name))",
		`INSERT INTO feast_go SELECT int8send(e), 'f' || f, int8send(e * f), '2024-05-01 12:00+00' FROM generate_series(1, 50) e, generate_series(1, 3) f`)
	if err != nil {
		return err
	}
	for e := range byte(20) {
		keys := [][]byte{{0, 0, 0, 0, 0, 0, 0, e}, {0, 0, 0, 0, 0, 0, 0, e + 5}}
		rows, err := conn.Query(ctx, `SELECT entity_key, feature_name, value, event_ts FROM "feast_go" WHERE entity_key = ANY($1)`, keys)
		if err != nil {
			return err
		}
		tr.say("of %d: %s", e, pgxRows(rows))
	}
	return nil
}
