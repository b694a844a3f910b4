-- What somebody types into the mariadb command line.
DROP TABLE IF EXISTS cli;
CREATE TABLE cli (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40));
INSERT INTO cli (v) VALUES ('one'), ('zwei ä'), (NULL);
SELECT LAST_INSERT_ID();
SELECT * FROM cli ORDER BY id;
\u leat_clients
SHOW TABLES LIKE 'cli';
BEGIN;
DELETE FROM cli;
ROLLBACK;
SELECT COUNT(*) FROM cli;
DELIMITER //
CREATE OR REPLACE VIEW cli_view AS SELECT v FROM cli//
DELIMITER ;
SELECT COUNT(v) FROM cli_view;
