// What an application does with PostgreSQL's JDBC driver: java -cp postgresql.jar CheckPg.java PORT
// Prints what it was told, to be compared with what another server told it.
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.*;

class CheckPg {
    static void say(Object... what) {
        System.out.println(Arrays.deepToString(what));
    }

    static void error(SQLException e) {
        say(e.getClass().getSimpleName(), e.getSQLState(), e.getMessage());
    }

    static Object ask(Statement s, String sql) throws SQLException {
        try (ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getObject(1);
        }
    }

    public static void main(String[] args) throws Exception {
        for (String options : new String[] {
            "", "&prepareThreshold=1", "&prepareThreshold=0", "&preferQueryMode=simple", "&preferQueryMode=extendedForPrepared",
            "&preferQueryMode=extendedCacheEverything", "&binaryTransfer=false", "&reWriteBatchedInserts=true&autosave=always",
            "&readOnlyMode=always", "&prepareThreshold=-1",
        }) {
            say(options);
            run("jdbc:postgresql://127.0.0.1:" + args[0] + "/leat_clients?user=app&password=app-secret&sslmode=disable" + options, options);
        }
        System.out.println("all is well");
    }

    static void run(String url, String options) throws Exception {
        try (Connection c = DriverManager.getConnection(url); Statement s = c.createStatement()) {
            s.execute("DROP TABLE IF EXISTS java");
            s.execute("CREATE TABLE java (id serial PRIMARY KEY, v text, t timestamptz, n numeric, b bytea, u uuid, a int[])");
            rows(c, options.contains("simple"));
            transactions(c, s);
            changes(c, s);
            if (!options.contains("simple")) large(c, s);
            copies(c);
            errors(c, s);
            if (options.isEmpty()) waits(c, s);
            reads(c, s);
            look(c);
        }
    }

    static void rows(Connection c, boolean simple) throws SQLException {
        try (PreparedStatement in = c.prepareStatement("INSERT INTO java (v, t, n, b, u, a) VALUES (?, ?, ?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS);
                PreparedStatement out = c.prepareStatement("SELECT v, t, n, b, u, a FROM java WHERE id = ?")) {
            for (int i = 0; i < 12; i++) { // from the fifth on by a server's statement
                in.setString(1, "ä" + i);
                in.setTimestamp(2, Timestamp.valueOf("2024-02-01 10:00:" + (10 + i)));
                in.setBigDecimal(3, new java.math.BigDecimal(i + ".50"));
                in.setBytes(4, simple ? null : new byte[] {0, (byte) 255, 39}); // which the driver can't put into a text
                in.setObject(5, new UUID(1, i));
                in.setArray(6, c.createArrayOf("int4", new Integer[] {i, -i}));
                say(in.executeUpdate());
                try (ResultSet keys = in.getGeneratedKeys()) {
                    keys.next();
                    out.setInt(1, keys.getInt(1));
                }
                try (ResultSet r = out.executeQuery()) {
                    while (r.next()) say(r.getString(1), r.getTimestamp(2), r.getBigDecimal(3), r.getBytes(4), r.getObject(5), r.getArray(6).toString());
                }
            }
            for (int i = 0; i < 300; i++) {
                in.setString(1, "batch" + i);
                in.setNull(2, Types.TIMESTAMP);
                in.addBatch();
            }
            say(in.executeBatch().length);
        }
    }

    static void transactions(Connection c, Statement s) throws SQLException {
        c.setAutoCommit(false);
        s.executeUpdate("DELETE FROM java");
        Savepoint here = c.setSavepoint();
        try {
            s.executeUpdate("INSERT INTO missing VALUES (1)");
        } catch (SQLException e) {
            error(e);
            c.rollback(here);
        }
        say(ask(s, "SELECT count(*) FROM java"));
        c.rollback();
        s.setFetchSize(7); // by a portal
        int n = 0;
        try (ResultSet r = s.executeQuery("SELECT * FROM java ORDER BY id"); Statement other = c.createStatement()) {
            while (r.next()) if (n++ % 50 == 0) say(r.getString("v"), ask(other, "SELECT " + n));
        }
        say(n);
        s.setFetchSize(0);
        c.commit();
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        say(ask(s, "SHOW transaction_isolation"));
        c.commit();
        c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        c.setAutoCommit(true);
    }

    static void reads(Connection c, Statement s) throws SQLException {
        c.setReadOnly(true);
        try {
            s.executeUpdate("DELETE FROM java");
            say("it was not read only"); // so with readOnlyMode=ignore, and by default outside a transaction
        } catch (SQLException e) {
            error(e);
        }
        c.setAutoCommit(false);
        say(ask(s, "SELECT count(*) FROM java"), ask(s, "SHOW transaction_read_only"), ask(s, "SELECT count(*) FROM java"));
        try {
            s.executeUpdate("DELETE FROM java");
        } catch (SQLException e) {
            error(e);
        }
        c.rollback();
        c.setReadOnly(false);
        c.setAutoCommit(true);
        c.setSchema("pg_catalog");
        say(c.getSchema(), c.isValid(5), ((PGConnection) c).getParameterStatus("TimeZone"));
        c.setSchema("public");
    }

    static void changes(Connection c, Statement s) throws SQLException {
        s.execute("DROP TABLE IF EXISTS java_changes");
        s.execute("CREATE TABLE java_changes (a int)");
        s.execute("INSERT INTO java_changes VALUES (1)");
        try (PreparedStatement p = c.prepareStatement("SELECT * FROM java_changes")) {
            for (int i = 0; i < 12; i++) { // the driver prepares again by itself
                if (i == 8) s.execute("ALTER TABLE java_changes ADD COLUMN b text DEFAULT 'b'");
                try (ResultSet r = p.executeQuery()) {
                    r.next();
                    say(r.getMetaData().getColumnCount());
                } catch (SQLException e) {
                    error(e);
                }
            }
        }
        s.execute("DEALLOCATE ALL");
        say(ask(s, "SELECT 'deallocated'"));
        s.execute("DISCARD ALL");
        say(ask(s, "SELECT 'discarded'"));
    }

    static void large(Connection c, Statement s) throws SQLException {
        c.setAutoCommit(false); // by function calls
        LargeObjectManager all = ((PGConnection) c).getLargeObjectAPI();
        long id = all.createLO();
        LargeObject o = all.open(id);
        o.write("large".repeat(20000).getBytes());
        o.seek(99990);
        say(new String(o.read(100)), o.size64());
        o.close();
        all.delete(id);
        c.commit();
        c.setAutoCommit(true);
    }

    static void copies(Connection c) throws Exception {
        CopyManager copy = ((PGConnection) c).getCopyAPI();
        say(copy.copyIn("COPY java (id, v) FROM STDIN", new java.io.StringReader("1000\tcopied\n1001\t\\N\n")));
        java.io.StringWriter out = new java.io.StringWriter();
        say(copy.copyOut("COPY (SELECT id, v FROM java WHERE id >= 1000 ORDER BY id) TO STDOUT WITH CSV", out), out.toString());
        try {
            copy.copyIn("COPY java (id, v) FROM STDIN", new java.io.StringReader("1000\tcopied\n1001\t\\N\n"));
        } catch (SQLException e) {
            error(e);
        }
    }

    static void errors(Connection c, Statement s) throws SQLException {
        for (String sql : new String[] {"SELEC 1", "INSERT INTO java (id) VALUES (1)", "SELECT 1 / 0", "SELECT 1; SELECT 1 / 0"}) {
            try {
                s.execute(sql);
            } catch (SQLException e) {
                error(e);
            }
        }
        s.execute("SELECT 1 AS a; SELECT 2 AS b; UPDATE java SET v = 'x' WHERE id = 1");
        int results = 1;
        while (s.getMoreResults() || s.getUpdateCount() != -1) results++;
        say(results);
    }

    static void waits(Connection c, Statement s) throws SQLException {
        s.setQueryTimeout(1);
        try {
            s.execute("SELECT pg_sleep(30)");
        } catch (SQLException e) {
            error(e);
        }
        s.setQueryTimeout(0);
        s.execute("LISTEN java");
        s.execute("NOTIFY java, 'told'");
        say(((PGConnection) c).getNotifications(1000).length);
        s.execute("UNLISTEN java");
    }

    static void look(Connection c) throws SQLException {
        DatabaseMetaData m = c.getMetaData();
        try (ResultSet r = m.getColumns(null, "public", "java", null)) {
            while (r.next()) say(r.getString("COLUMN_NAME"), r.getString("TYPE_NAME"), r.getString("COLUMN_DEF"));
        }
        try (ResultSet r = m.getPrimaryKeys(null, "public", "java")) {
            while (r.next()) say(r.getString("COLUMN_NAME"), r.getString("PK_NAME"));
        }
        say(m.getDatabaseProductVersion(), m.getMaxConnections());
    }
}
