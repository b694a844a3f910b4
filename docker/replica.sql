-- Makes a server of docker-compose.yml a replica. It takes no writes once it has restarted after its set-up, and
-- nothing of the set-up is in its binary log, so that its history is the primary's.
SET sql_log_bin = 0;
RESET BINARY LOGS AND GTIDS;
CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'primary', SOURCE_USER = 'repl', SOURCE_PASSWORD = 'repl-secret',
  SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 2, SOURCE_RETRY_COUNT = 86400;
SET PERSIST_ONLY super_read_only = ON;
