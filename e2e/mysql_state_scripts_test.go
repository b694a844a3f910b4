package e2e

// Cases of session state that a script says whole. Each runs over a direct connection and through Leat.

// stateScripts are by the number of their case. A line that begins with "mysql| " or "mariadb| " is for that flavor.
var stateScripts = map[int]struct{ name, script string }{
	98: {"a failed SET changes nothing", `
query SET @a = 1, sql_mode = '', nosuch = 2
query SELECT @a, @@sql_mode
query SET time_zone = '+05:00', sql_mode = 'NOSUCH'
2: query SELECT 1
query SELECT @@time_zone, @@sql_mode
query SET sql_mode = 'ANSI_QUOTES'
query SET time_zone = '+05:00', foreign_key_checks = 0, sql_mode = 'NOSUCH'
2: query SELECT @@sql_mode, "text"
query SELECT @@time_zone, @@foreign_key_checks, @@sql_mode
query SET time_zone = '+01:00'; SET time_zone = 'nowhere'; SET time_zone = '+02:00'
2: query SELECT @@time_zone
query SELECT @@time_zone
query SET SESSION max_allowed_packet = 1024
query SET SESSION server_uuid = 'x'
query SET version = 'x'
query SELECT @@time_zone
`},
	99: {"an invalid value fails at the SET and wedges nothing", `
query SET time_zone = 'nowhere'
query SET SESSION sql_select_limit = 'text'
query SET SESSION group_concat_max_len = 1.5
query SET lc_time_names = 'xx_YY'
query SET character_set_client = ucs2
query SET character_set_client = 'nosuch'
query SET NAMES nosuch
query SET NAMES utf8mb4 COLLATE latin1_bin
query SET collation_connection = nosuch_ci
query SET autocommit = 7
query SET autocommit = 'maybe'
query SET foreign_key_checks = 2
query SET transaction_isolation = 'NOSUCH'
mariadb| query SET tx_isolation = 'NOSUCH'
query SET div_precision_increment = 99
query SHOW WARNINGS
query SELECT @@div_precision_increment, 1 / 3
2: query SELECT @@div_precision_increment, 1 / 3
query SET div_precision_increment = -5
query SELECT @@div_precision_increment
query SET SESSION net_read_timeout = 0
query SELECT @@net_read_timeout
query SET time_zone = '+01:00'
query SELECT @@time_zone, @@character_set_client, @@autocommit
2: query SELECT @@time_zone
`},
	100: {"SETs by expression stay multiplexable", `
query SET sql_mode = REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', '')
query SELECT @@sql_mode
2: query SELECT @@sql_mode
query SELECT @@sql_mode
query SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')
2: query SELECT "x"
query SELECT "id" FROM t WHERE id = 1
query SET sql_mode = (SELECT @@GLOBAL.sql_mode)
query SELECT @@sql_mode = @@GLOBAL.sql_mode
query SET character_set_results = NULL
2: query SELECT v FROM t WHERE id = 5
query SELECT v, @@character_set_results FROM t WHERE id = 5
query SET character_set_results = DEFAULT
query SELECT @@character_set_results
query SET sql_mode = DEFAULT
2: query SELECT @@sql_mode
query SELECT @@sql_mode
query SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci
2: query SELECT @@collation_connection
query SELECT @@collation_connection, 'a' = 'Ä', 'a' = 'A'
query SET time_zone = '+01:00', net_read_timeout = @@GLOBAL.net_read_timeout, NAMES latin1
2: query SELECT @@time_zone
query SELECT @@time_zone, @@net_read_timeout, @@character_set_client
query SET div_precision_increment = 2 + 3, group_concat_max_len = @@group_concat_max_len * 2
2: query SELECT @@group_concat_max_len, 1 / 3
query SELECT @@group_concat_max_len, 1 / 3
query SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = DEFAULT
2: query SELECT @@collation_connection
query SELECT @@collation_connection, @@time_zone
query SET NAMES DEFAULT
query SELECT @@character_set_client, @@collation_connection
query SET CHARACTER SET latin1
2: query SELECT 'ä'
query SELECT @@character_set_client, @@character_set_results, @@collation_connection
query SET NAMES utf8mb4
# numbers alone: which collation of its charset a column is described by isn't the state of any variable
query SET CHARACTER SET DEFAULT
query SELECT @@character_set_client = 'utf8mb4', @@character_set_results = 'utf8mb4', @@collation_connection = @@collation_database
query SET character_set_connection = latin1
2: query SELECT @@collation_connection = 'latin1_swedish_ci'
query SELECT @@character_set_connection = 'latin1', @@collation_connection = 'latin1_swedish_ci'
query SET collation_connection = DEFAULT
query SELECT @@character_set_connection = @@GLOBAL.character_set_connection, @@collation_connection = @@GLOBAL.collation_connection
query SET SESSION collation_connection = latin1_german2_ci, @@SESSION.character_set_client = latin1
2: query SELECT @@collation_connection = 'latin1_german2_ci'
query SELECT @@collation_connection = 'latin1_german2_ci', @@character_set_client = 'latin1'
query SET NAMES utf8mb4
prepare s SET sql_mode = ?
execute s 'ANSI_QUOTES'
2: query SELECT "x"
query SELECT "id" FROM t WHERE id = 2
prepare z SET time_zone = ?, div_precision_increment = ?
execute z '+07:00' 7
2: query SELECT @@time_zone, 1 / 3
query SELECT @@time_zone, 1 / 3
execute z 'nowhere' 2
query SELECT @@time_zone, 1 / 3
`},
	101: {"spellings of autocommit", `
query SET autocommit = 0
query SELECT @@autocommit
2: query SELECT @@autocommit
query SET autocommit = ON
query SELECT @@autocommit
query SET AUTOCOMMIT=FALSE
query SELECT 1
query SET autocommit = TRUE
query SELECT @@autocommit
query SET autocommit = 'off'
2: query SELECT @@autocommit
query INSERT INTO c1 (k) VALUES (50)
2: query SELECT COUNT(*) FROM c1 WHERE k = 50
query ROLLBACK
query SET @@autocommit = 'on'
query SELECT COUNT(*) FROM c1 WHERE k = 50
query SET SESSION autocommit := 0
query INSERT INTO c1 (k) VALUES (51)
query SET LOCAL autocommit = 1
query SELECT @@autocommit
query SET @@session.autocommit = OFF
query SELECT @@autocommit
query SET autocommit = DEFAULT
query SELECT @@autocommit
query SET autocommit=0, sql_mode=''
2: query SELECT 1
query SELECT COUNT(*) FROM c1
query COMMIT
query SET autocommit=1, sql_mode=DEFAULT
query SELECT COUNT(*) FROM c1 WHERE k = 51
`},
	103: {"timestamp and insert id are session state", `
query SET timestamp = 1000000000
query SELECT NOW(), UNIX_TIMESTAMP()
2: query SELECT NOW() > '2020-01-01'
query SELECT NOW()
query INSERT INTO c1 (k, v) VALUES (60, CURRENT_DATE)
query SELECT v FROM c1 WHERE k = 60
query SET timestamp = DEFAULT
query SELECT NOW() > '2020-01-01'
query SET insert_id = 900
query INSERT INTO c1 (k) VALUES (61)
query SELECT LAST_INSERT_ID()
query INSERT INTO c1 (k) VALUES (62)
query SELECT id FROM c1 WHERE k > 60 ORDER BY id
query SET last_insert_id = 77
2: query SELECT LAST_INSERT_ID()
query SELECT LAST_INSERT_ID(), @@identity, @@last_insert_id
query SELECT LAST_INSERT_ID() + 1
query SET @@identity = 78
query INSERT INTO c1 (k) SELECT LAST_INSERT_ID()
query SELECT MAX(k) FROM c1
query SET rand_seed1 = 5, rand_seed2 = 6
query SELECT RAND()
query SELECT RAND()
query SET SESSION pseudo_thread_id = 12345
~query SELECT @@pseudo_thread_id
query SET character_set_database = latin1
query SELECT @@character_set_database, @@collation_database
2: query SELECT @@character_set_database, @@collation_database
query USE leat_diff
query SELECT @@character_set_database, @@collation_database
`},
	105: {"COM_RESET_CONNECTION", `
query SET sql_mode = 'ANSI_QUOTES', time_zone = '+01:00', NAMES latin1
query SET @a = 5
query CREATE TEMPORARY TABLE tmp (id INT)
query SELECT GET_LOCK('leat_diff_105', 0)
prepare s SELECT 1
query BEGIN
query INSERT INTO c1 (k) VALUES (70)
reset-connection
query SELECT COUNT(*) FROM c1 WHERE k = 70
query SELECT @a, @@sql_mode = @@GLOBAL.sql_mode, @@time_zone, DATABASE()
query SELECT @@character_set_client, @@character_set_results, @@collation_connection
execute s
query SELECT * FROM tmp
2: query SELECT GET_LOCK('leat_diff_105', 0)
2: query SELECT RELEASE_LOCK('leat_diff_105')
query SELECT LAST_INSERT_ID(), ROW_COUNT()
query SET autocommit = 0
reset-connection
query SELECT @@autocommit
query SET SESSION transaction_isolation = 'SERIALIZABLE'
mariadb| query SET SESSION tx_isolation = 'SERIALIZABLE'
reset-connection
mysql| query SELECT @@transaction_isolation, @@transaction_read_only
mariadb| query SELECT @@tx_isolation, @@tx_read_only
query SET SESSION TRANSACTION READ ONLY
reset-connection
query INSERT INTO c1 (k) VALUES (71)
query SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
reset-connection
query BEGIN
query SELECT COUNT(*) FROM c1 WHERE k = 71
query ROLLBACK
query USE information_schema
reset-connection
query SELECT DATABASE()
query SELECT 'ä', 'a' = 'A'
`},
	106: {"COM_CHANGE_USER", `
query SET sql_mode = 'ANSI_QUOTES', time_zone = '+01:00', NAMES latin1
query SET @a = 5
query CREATE TEMPORARY TABLE tmp (id INT)
query SELECT GET_LOCK('leat_diff_106', 0)
prepare s SELECT 1
query BEGIN
query INSERT INTO c1 (k) VALUES (70)
change-user app app-secret information_schema
query SELECT DATABASE(), @a, @@time_zone, @@sql_mode = @@GLOBAL.sql_mode
query SELECT @@character_set_client, @@collation_connection
query SELECT LAST_INSERT_ID(), ROW_COUNT()
execute s
query SELECT * FROM leat_diff.tmp
query SELECT COUNT(*) FROM leat_diff.c1 WHERE k = 70
2: query SELECT GET_LOCK('leat_diff_106', 0)
2: query SELECT RELEASE_LOCK('leat_diff_106')
query SET autocommit = 0
change-user app app-secret leat_diff
query SELECT @@autocommit, DATABASE()
query SET session_track_schema = OFF
change-user app app-secret -
use leat_diff
query SELECT 'ä'
change-user app app-secret nosuch
query SELECT 1
2: change-user app wrong leat_diff
2: query SELECT 1
3: query SELECT 1
`},
	109: {"roles and passwords", `
query SET ROLE NONE
query SELECT CURRENT_ROLE()
2: query SELECT CURRENT_ROLE()
query SET ROLE nosuch
query SELECT CURRENT_ROLE()
mysql| query SET ROLE DEFAULT
mysql| query SET DEFAULT ROLE NONE TO nosuch
mariadb| query SET DEFAULT ROLE nosuch
query SET PASSWORD FOR nobody@localhost = 'x'
query SELECT 1
`},
	113: {"trackers as the client asked for them", `
flags: deprecate_eof session_track multi_statements
query SET time_zone = '+01:00'
query SET sql_mode = ''
query SET session_track_system_variables = 'sql_mode'
query SET time_zone = '+02:00', sql_mode = 'ANSI_QUOTES'
2: query SET time_zone = '+03:00', sql_mode = ''
query SET session_track_system_variables = DEFAULT
query SET time_zone = '+04:00', sql_mode = ''
query SET session_track_system_variables = ''
query SET time_zone = '+04:30', sql_mode = ''
query SET session_track_system_variables = 'time_zone,nosuch'
query SET time_zone = '+05:00', sql_mode = ''
query SET session_track_schema = OFF
use leat_diff
2: use leat_diff
query SET session_track_schema = 'on'
query USE leat_diff
query SET session_track_schema = 7
# what the SET of a tracker itself reports is Leat's to say: it reports nothing
~query SET session_track_state_change = ON
query SET @a = 1
query SET time_zone = '+06:00'
use leat_diff
query SELECT 1
query SET session_track_state_change = FALSE
query SET @a = 2
~query SET session_track_transaction_info = 'STATE'
query BEGIN
query SELECT COUNT(*) FROM t
query INSERT INTO c1 (k) VALUES (80)
query COMMIT
~query SET session_track_transaction_info = 'CHARACTERISTICS'
query START TRANSACTION READ ONLY
query COMMIT
query SET session_track_transaction_info = 'NOSUCH'
query SET session_track_transaction_info = DEFAULT
query BEGIN
query COMMIT
query SET session_track_schema = 1, time_zone = '+08:00'
query SELECT @@time_zone
2: query SELECT @@time_zone
mysql| query SET session_track_gtids = OWN_GTID
mysql| query INSERT INTO c1 (k) VALUES (81)
mysql| query SET session_track_gtids = OFF
mysql| query INSERT INTO c1 (k) VALUES (82)
mariadb| query SET session_track_gtids = OWN_GTID
reset-connection
query SET time_zone = '+09:00', sql_mode = 'ANSI_QUOTES'
prepare s SET session_track_schema = ?
execute s 0
use leat_diff
execute s 1
use leat_diff
~query SET session_track_system_variables = 'sql_mode'; SET sql_mode = '', time_zone = '+10:00'
query SET sql_mode = 'ANSI_QUOTES', time_zone = '+12:00'
~query SET session_track_system_variables = 'time_zone'; SET sql_mode = '', time_zone = '+11:00'
query SELECT @@time_zone, @@sql_mode
`},
}
