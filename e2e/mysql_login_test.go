package e2e

// Cases 1-9, 11-13: what a client is greeted with, and how it logs in.

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(1, "greeting", greeting)
	addStageCase(2, "capabilities", capabilitiesWork)
	addStageCase(3, "connection id", connectionID)
	addStageCase(4, "collations of log-ins", loginCollations)
	addStageCase(5, "collation beyond a byte", wideCollation)
	addStageCase(6, "collation that the server lacks", lackingCollation)
	addMySQLCase(7, "collation of the server", serverCollation)
	addMySQLCase(8, "passwords", passwords)
	addMySQLCase(9, "plugins", plugins)
	addStageCase(11, "missing database", missingDatabase)
	addStageCase(12, "no database", noDatabase)
	addStageCase(13, "connection attributes", connectionAttributes)
}

// login is the error that a log-in gets, or nil.
func (l *leat) login(ctx context.Context, change func(*rawmysql.Options)) error {
	opts := rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Flags: peerFlags}
	change(&opts)
	c, err := rawmysql.Dial(ctx, l.Addr, opts)
	if err == nil {
		c.Close()
	}
	return err
}

// serverError is the number of a server's error; 0 for any other.
func serverError(err error) uint16 {
	var raw *rawmysql.ServerError
	var driver *mysql.MySQLError
	switch {
	case errors.As(err, &raw):
		return raw.Number
	case errors.As(err, &driver):
		return driver.Number
	}
	return 0
}

func greeting(s *stage) {
	got, want := s.client().Greeting, s.dial(s.top.Primary().Addr(), "", peerFlags).Greeting
	if got.Version != want.Version || got.Collation != want.Collation || got.Plugin != want.Plugin || got.Status != want.Status {
		s.Errorf("got %+v, want %+v", got, want)
	}
}

func capabilitiesWork(s *stage) {
	got, server := s.client().Greeting.Capabilities, s.dial(s.top.Primary().Addr(), "", peerFlags).Greeting.Capabilities
	const queryAttributes, optionalMetadata, multiFactor, tlsOffered uint32 = 1 << 27, 1 << 25, 1 << 28, 1 << 11
	if extra := got &^ server; extra != 0 {
		s.Errorf("capabilities that the server doesn't have: %x", extra)
	}
	for name, flag := range map[string]uint32{"query attributes": queryAttributes, "optional metadata": optionalMetadata, "factors": multiFactor, "TLS": tlsOffered, "local files": rawmysql.LocalFiles} {
		if got&flag != 0 {
			s.Errorf("%s: offered, but not there", name)
		}
	}
	for name, flag := range map[string]uint32{"zlib": rawmysql.Zlib, "session tracking": rawmysql.SessionTrack, "deprecated EOF": rawmysql.DeprecateEOF, "attributes": rawmysql.ConnectAttrs} {
		if got&flag == 0 {
			s.Errorf("%s: not offered", name)
		}
	}
}

func connectionID(s *stage) {
	seen := map[uint32]bool{}
	for range 5 {
		c := s.client()
		id := fmt.Sprint(c.Greeting.ThreadID)
		if seen[c.Greeting.ThreadID] {
			s.Errorf("thread id %s is there twice", id)
		}
		seen[c.Greeting.ThreadID] = true
		c.wants("SELECT CONNECTION_ID()", id, "select connection_id() ;", id, "SELECT CONNECTION_ID() AS id", id, "SELECT @@pseudo_thread_id", id)
		r := c.execute(c.prepare("SELECT CONNECTION_ID()"))
		if row := r.Frames[len(r.Frames)-2].Payload; len(row) < 6 || uint32(row[2])|uint32(row[3])<<8 != c.Greeting.ThreadID {
			s.Errorf("prepared: row %x, want id %s", row, id)
		}
	}
	s.same("~query SELECT CONNECTION_ID()", "~query SELECT CONNECTION_ID() AS x", "~query SELECT CONNECTION_ID() + 1")
}

// charsets tells what literals are in, once on a replica and once on the primary.
var charsets = []string{"SELECT COLLATION('x'), CHARSET('x') FROM t WHERE id = 1", "SELECT COLLATION('x'), CHARSET('x') FROM t WHERE id = 1 FOR UPDATE", "SELECT @@collation_connection, @@character_set_client, @@character_set_results"}

func loginCollations(s *stage) {
	for _, collation := range []byte{255, 45, 33, 8, 63, 46, 28, 1} {
		read := func(address string) string {
			c, err := rawmysql.Dial(s.ctx, address, rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: stageDatabase, Flags: peerFlags, Collation: collation})
			if err != nil {
				return err.Error()
			}
			defer c.Close()
			var all []string
			for _, sql := range charsets {
				r, err := c.Query(sql)
				if err != nil {
					return err.Error()
				}
				all = append(all, fmt.Sprint(r.Text(), r.Err()))
			}
			return strings.Join(all, " ")
		}
		if got, want := read(s.leat.Addr), read(s.top.Primary().Addr()); got != want {
			s.Errorf("collation %d: got %s, want %s", collation, got, want)
		}
	}
}

// ownCollation is one whose id doesn't fit into a byte.
func (s *stage) ownCollation() string {
	if s.flavor == localdb.MySQL {
		return "utf8mb4_0900_as_ci"
	}
	return "utf8mb4_uca1400_as_ci"
}

func wideCollation(s *stage) {
	c, others := s.client(), []*peer{s.client(), s.client(), s.client(), s.client()}
	c.query("SET NAMES utf8mb4 COLLATE " + s.ownCollation())
	for i := range 12 {
		for j, o := range others {
			o.query([]string{"SET NAMES latin1", "SET NAMES utf8mb4", "SELECT id FROM t WHERE id = 1", "UPDATE t SET n = 4 WHERE id = 3"}[(i+j)%4])
		}
		c.wants("SELECT COLLATION('x') FROM t WHERE id = 1", s.ownCollation(), "SELECT COLLATION('x') FROM t WHERE id = 1 FOR UPDATE", s.ownCollation(), "SELECT @@collation_connection", s.ownCollation())
	}
}

func lackingCollation(s *stage) {
	other := map[localdb.Flavor]string{localdb.MySQL: "utf8mb4_uca1400_ai_ci", localdb.MariaDB: "utf8mb4_nosuch_ai_ci"}[s.flavor]
	s.same("query SET NAMES utf8mb4 COLLATE utf8mb4_bin", "query SET NAMES utf8mb4 COLLATE "+other, "query SELECT @@collation_connection", "2: query SELECT COLLATION('x') FROM t LIMIT 1",
		"query SET collation_connection = "+other, "query SELECT COLLATION('x') FROM t LIMIT 1", "query SET character_set_client = ucs2", "query SET character_set_results = nosuch", "query SELECT @@character_set_client")
}

func serverCollation(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	collation := map[localdb.Flavor]string{localdb.MySQL: "utf8mb4_ja_0900_as_cs", localdb.MariaDB: "utf8mb4_uca1400_ai_ci"}[flavor]
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor, Extra: []string{"--character-set-server=utf8mb4", "--collation-server=" + collation}})
	l := startLeat(ctx, t, top, leatOptions{})
	s := &stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: l}
	for range 3 {
		c := s.dial(l.Addr, "", peerFlags)
		c.wants("SELECT @@collation_connection", "utf8mb4_general_ci", "SELECT @@collation_server", collation)
		direct := s.dial(top.Primary().Addr(), "", peerFlags)
		if got, want := c.Greeting.Collation, direct.Greeting.Collation; got != want {
			t.Errorf("greeting's collation: got %d, want %d", got, want)
		}
		for _, reset := range []*peer{c, direct} {
			reset.do([]byte{rawmysql.ComResetConnection})
		}
		c.wants("SELECT @@collation_connection", direct.value("SELECT @@collation_connection"), "SELECT COLLATION('x')", direct.value("SELECT COLLATION('x')"))
	}
}

// nativeVerifier is what servers store of a password for mysql_native_password.
func nativeVerifier(password string) string {
	first := sha1.Sum([]byte(password))
	second := sha1.Sum(first[:])
	return "*" + strings.ToUpper(hex.EncodeToString(second[:]))
}

// driver logs in with go-sql-driver, once, and says which error it got.
func (l *leat) driver(ctx context.Context, user, password string, secure *tls.Config) error {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.TLS = user, password, "tcp", l.Addr, secure
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	c, err := connector.Connect(ctx)
	if err == nil {
		c.Close()
	}
	return err
}

func passwords(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	cert := newCertificate(t, t.TempDir(), 1)
	server := fmt.Sprintf("server_user: %s, server_password: %s", localdb.AppUser, localdb.AppPassword)
	users := fmt.Sprintf("[{name: plain, password: 'pass word', %[1]s}, {name: native, verifier: '%[2]s', %[1]s}, {name: none, password: '', %[1]s}]", server, nativeVerifier("native pw"))
	l := startLeat(ctx, t, top, leatOptions{Users: users, Top: []string{cert.config("")}})
	before := l.Metric(ctx, "leat_server_requests_total")
	for name, try := range map[string]struct {
		user, password string
		tls            *tls.Config
		want           uint16
	}{
		"full over TLS": {"plain", "pass word", cert.client(), 0}, "full by RSA": {"plain", "pass word", nil, 0},
		"native": {"native", "native pw", nil, 0}, "native over TLS": {"native", "native pw", cert.client(), 0}, "empty": {"none", "", nil, 0}, "empty over TLS": {"none", "", cert.client(), 0},
		"wrong": {"plain", "pass", nil, 1045}, "wrong over TLS": {"plain", "pass", cert.client(), 1045}, "wrong native": {"native", "x", nil, 1045}, "not empty": {"none", "x", nil, 1045}, "empty for one": {"plain", "", nil, 1045}, "nobody": {"nobody", "x", nil, 1045},
	} {
		for _, turn := range []string{"first", "again"} {
			err := l.driver(ctx, try.user, try.password, try.tls)
			if got := serverError(err); got != try.want || (err != nil) != (try.want != 0) {
				t.Errorf("%s, %s: %v, want error %d", name, turn, err, try.want)
			}
		}
	}
	if got := l.Metric(ctx, "leat_server_requests_total"); got != before {
		t.Errorf("log-ins led to %v requests to servers", got-before)
	}
}

func plugins(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor}) // a replica would need the plugin too
	server := fmt.Sprintf("server_user: %s, server_password: %s", localdb.AppUser, localdb.AppPassword)
	users := fmt.Sprintf("{name: native, verifier: '%s', %s}, {name: plain, password: p, %s}", nativeVerifier("p"), server, server)
	names := []string{"native", "plain"}
	if flavor == localdb.MySQL {
		if err := top.Primary().Exec(ctx, "CREATE USER kept IDENTIFIED WITH caching_sha2_password BY 'p'"); err != nil {
			t.Fatal(err)
		}
		stored, err := top.Primary().Value(ctx, "SELECT authentication_string FROM mysql.user WHERE user = 'kept'")
		if err != nil {
			t.Fatal(err)
		}
		users += fmt.Sprintf(", {name: stored, verifier: %q, %s}", stored, server)
		names = append(names, "stored")
	} else if err := top.Primary().Exec(ctx, "INSTALL SONAME 'auth_ed25519'"); err == nil {
		if err := top.Primary().Exec(ctx, "CREATE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('e'); GRANT SELECT ON *.* TO ed"); err != nil {
			t.Fatal(err)
		}
		users += ", {name: curve, password: c, server_user: ed, server_password: e}"
		names = append(names, "curve")
	} else {
		t.Logf("NOT TESTED: ed25519 towards servers: %v", err)
	}
	l := startLeat(ctx, t, top, leatOptions{Users: "[" + users + "]"})
	for _, name := range names {
		password := "p"
		if name == "curve" {
			password = "c"
		}
		if err := l.driver(ctx, name, password, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, plugin := range []string{"mysql_native_password", "caching_sha2_password"} {
			out, err := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--default-auth="+plugin, "-h127.0.0.1", "-P"+l.port(), "-u"+name, "-p"+password, "--skip-ssl", "-BNe", "SELECT 'in' FOR UPDATE").CombinedOutput()
			if strings.TrimSpace(string(out)) != "in" {
				t.Errorf("%s by a client that begins with %s: %v, %s", name, plugin, err, out)
			}
		}
	}
}

func missingDatabase(s *stage) {
	if err := s.leat.login(s.ctx, func(o *rawmysql.Options) { o.Database = "nosuch_database" }); serverError(err) != 1049 {
		s.Errorf("log-in to a database that isn't there: %v, want error 1049", err)
	}
	s.sameFramed("use nosuch_database", "query SELECT DATABASE()", "query USE nosuch_database", "query SELECT DATABASE()", "query SELECT COUNT(*) FROM t", "use information_schema", "query USE nosuch_database", "query SELECT DATABASE()")
}

func noDatabase(s *stage) {
	for range 3 { // conns that have a database
		c := s.client()
		c.query("SELECT id FROM t")
		c.query("SELECT id FROM t WHERE id = 1 FOR UPDATE")
		c.Close()
	}
	c := s.dial(s.leat.Addr, "", peerFlags)
	for range 4 {
		if rows := c.query("SELECT DATABASE()").Text(); len(rows) != 1 || rows[0][0] != "NULL" {
			s.Errorf("DATABASE() is %v, want NULL", rows)
		}
		c.fails("SELECT id FROM t", 1046)
		c.fails("SELECT id FROM t FOR UPDATE", 1046)
		c.fails("SHOW TABLES", 1046)
		c.wants("SELECT id FROM leat_stage.t WHERE id = 1", "1")
	}
}

func connectionAttributes(s *stage) {
	c, err := rawmysql.Dial(s.ctx, s.leat.Addr, rawmysql.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Flags: peerFlags | rawmysql.ConnectAttrs, Attributes: map[string]string{"program_name": "attributed", "tenant": "acme"},
	})
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close()
	_, body, err := s.leat.Get(s.ctx, "/api/sessions")
	if err != nil || !strings.Contains(body, "attributed") {
		s.Errorf("the list of sessions doesn't name the program: %v\n%s", err, body)
	}
}
