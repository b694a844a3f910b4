-- Users of the primary in docker-compose.yml. The replicas get them by replication.
CREATE USER 'app'@'%' IDENTIFIED BY 'app-secret';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW
  ON *.* TO 'app'@'%';
CREATE USER 'leat_monitor'@'%' IDENTIFIED BY 'monitor-secret';
GRANT REPLICATION CLIENT ON *.* TO 'leat_monitor'@'%';
GRANT SELECT ON performance_schema.* TO 'leat_monitor'@'%';
CREATE USER 'repl'@'%' IDENTIFIED BY 'repl-secret';
GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%';
CREATE DATABASE features;
