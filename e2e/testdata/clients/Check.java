// What an application does with MariaDB's JDBC driver: java -cp mariadb-java-client.jar Check.java PORT
import java.sql.*;

class Check {
    static void expect(Object got, Object want) {
        if (!want.equals(got)) throw new AssertionError("got " + got + ", want " + want);
    }

    public static void main(String[] args) throws Exception {
        for (String options : new String[] {"", "&useServerPrepStmts=true", "&rewriteBatchedStatements=true", "&useCursorFetch=true&useServerPrepStmts=true"}) {
            run("jdbc:mariadb://127.0.0.1:" + args[0] + "/leat_clients?user=app&password=app-secret&allowPublicKeyRetrieval=true" + options);
        }
        System.out.println("all is well");
    }

    static void run(String url) throws Exception {
        try (Connection c = DriverManager.getConnection(url); Statement s = c.createStatement()) {
            s.execute("DROP TABLE IF EXISTS java");
            s.execute("CREATE TABLE java (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40), t TIMESTAMP NULL)");
            try (PreparedStatement in = c.prepareStatement("INSERT INTO java (v, t) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS);
                    PreparedStatement out = c.prepareStatement("SELECT v, t FROM java WHERE id = ?")) {
                for (int i = 0; i < 20; i++) {
                    Timestamp t = Timestamp.valueOf("2024-02-01 10:00:" + (10 + i));
                    in.setString(1, "ä" + i);
                    in.setTimestamp(2, t);
                    expect(in.executeUpdate(), 1);
                    try (ResultSet keys = in.getGeneratedKeys()) {
                        keys.next();
                        expect(keys.getInt(1), i + 1);
                    }
                    out.setInt(1, i + 1);
                    try (ResultSet r = out.executeQuery()) {
                        r.next();
                        expect(r.getString(1), "ä" + i);
                        expect(r.getTimestamp(2), t);
                    }
                }
                for (int i = 0; i < 50; i++) {
                    in.setString(1, "batch");
                    in.setTimestamp(2, null);
                    in.addBatch();
                }
                expect(in.executeBatch().length, 50);
            }
            c.setAutoCommit(false);
            s.executeUpdate("DELETE FROM java");
            c.rollback();
            c.setAutoCommit(true);
            s.setFetchSize(7);
            int n = 0;
            try (ResultSet r = s.executeQuery("SELECT * FROM java")) {
                while (r.next()) n++;
            }
            expect(n, 70);
            try {
                s.executeUpdate("INSERT INTO java (id) VALUES (1)");
                throw new AssertionError("a duplicate was accepted");
            } catch (SQLIntegrityConstraintViolationException e) {
                expect(e.getErrorCode(), 1062);
            }
            c.setReadOnly(true);
            c.setReadOnly(false);
            expect(c.isValid(5), true);
        }
    }
}
