package router

import "strings"

// pureFunctions are the functions of MySQL and MariaDB that may run on a replica: they change nothing,
// and what they return is as right there as on the primary. NOW, RAND and UUID are among them; so are
// SLEEP and BENCHMARK, which only take time. A function that isn't here, a stored or loaded one for
// example, may do anything. See functionEffects for those with an effect on the session.
var pureFunctions = wordSet(`
	abs acos adddate addtime aes_decrypt aes_encrypt any_value area asbinary ascii asin astext aswkb aswkt atan
	atan2 avg
	benchmark bin bin_to_uuid binary bit_and bit_count bit_length bit_or bit_xor boundary buffer
	can_access_column can_access_database can_access_table can_access_view cast ceil ceiling centroid char
	char_length character_length charset chr coalesce coercibility collation column_add column_check
	column_create column_delete column_exists column_get column_json column_list compress concat concat_ws
	conv convert convert_tz convexhull cos cot count crc32 crc32c crosses cume_dist curdate current_date
	current_role current_time current_timestamp current_user curtime
	database date date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear decode
	decode_oracle default degrees dense_rank des_decrypt des_encrypt dimension disjoint distance
	elt encode encrypt endpoint envelope equals exp export_set exteriorring extract extractvalue
	field find_in_set first_value floor format format_bytes format_pico_time from_base64 from_days
	from_unixtime from_vector
	geohash geomcollection geomcollfromtext geomcollfromwkb geometrycollection geometrycollectionfromtext
	geometrycollectionfromwkb geometryfromtext geometryfromwkb geometryn geometrytype geomfromtext geomfromwkb
	get_format glength greatest group_concat grouping gtid_subset gtid_subtract
	hex hour
	icu_version if ifnull in inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interiorringn intersects
	interval is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid is_visible_dd_object isclosed isempty
	isnull isring issimple
	json_array json_array_append json_array_insert json_array_intersect json_arrayagg json_compact
	json_contains json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert
	json_key_value json_keys json_length json_loose json_merge json_merge_patch json_merge_preserve
	json_normalize json_object json_object_filter_keys json_object_to_array json_objectagg json_overlaps
	json_pretty json_query json_quote json_remove json_replace json_schema_valid
	json_schema_validation_report json_search json_set json_storage_free json_storage_size json_table json_type
	json_unquote json_valid json_value
	kdf
	lag last_day last_value lcase lead least left length lengthb linefromtext linefromwkb linestring
	linestringfromtext linestringfromwkb ln localtime localtimestamp locate log log10 log2 lower lpad ltrim
	make_set makedate maketime match max mbrcontains mbrcoveredby mbrcovers mbrdisjoint mbrequal mbrequals
	mbrintersects mbroverlaps mbrtouches mbrwithin md5 median member microsecond mid min minute mlinefromtext
	mlinefromwkb mod mod month monthname mpointfromtext mpointfromwkb mpolyfromtext mpolyfromwkb
	multilinestring multilinestringfromtext multilinestringfromwkb multipoint multipointfromtext
	multipointfromwkb multipolygon multipolygonfromtext multipolygonfromwkb
	name_const natural_sort_key now nth_value ntile nullif numgeometries numinteriorrings numpoints nvl nvl2
	oct octet_length old_password ord overlaps
	password percent_rank percentile_cont percentile_disc period_add period_diff pi point pointfromtext
	pointfromwkb pointn pointonsurface polyfromtext polyfromwkb polygon polygonfromtext polygonfromwkb position
	pow power
	quarter quote
	radians rand random_bytes rank regexp_instr regexp_like regexp_replace regexp_substr repeat replace
	replace_oracle reverse right roles_graphml round row row_number rpad rtrim
	schema sec_to_time second session_user sformat sha sha1 sha2 sign sin sleep soundex space sqrt srid
	st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_boundary st_buffer st_buffer_strategy
	st_centroid st_collect st_contains st_convexhull st_crosses st_difference st_dimension st_disjoint
	st_distance st_distance_sphere st_endpoint st_envelope st_equals st_exteriorring st_frechetdistance
	st_geohash st_geomcollfromtext st_geomcollfromtxt st_geomcollfromwkb st_geometrycollectionfromtext
	st_geometrycollectionfromwkb st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype
	st_geomfromgeojson st_geomfromtext st_geomfromwkb st_hausdorffdistance st_interiorringn st_intersection
	st_intersects st_isclosed st_isempty st_isring st_issimple st_isvalid st_latfromgeohash st_latitude
	st_length st_linefromtext st_linefromwkb st_lineinterpolatepoint st_lineinterpolatepoints
	st_linestringfromtext st_linestringfromwkb st_longfromgeohash st_longitude st_makeenvelope
	st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb
	st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext st_multipointfromwkb
	st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries st_numinteriorring st_numinteriorrings
	st_numpoints st_overlaps st_pointatdistance st_pointfromgeohash st_pointfromtext st_pointfromwkb st_pointn
	st_pointonsurface st_polyfromtext st_polyfromwkb st_polygonfromtext st_polygonfromwkb st_relate st_simplify
	st_srid st_startpoint st_swapxy st_symdifference st_touches st_transform st_union st_validate st_within
	st_x st_y startpoint statement_digest statement_digest_text std stddev stddev_pop stddev_samp str_to_date
	strcmp string_to_vector subdate substr substr_oracle substring substring_index subtime sum sys_guid sysdate
	system_user
	tan time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_char to_date
	to_days to_number to_seconds to_vector touches trim trim_oracle trunc truncate
	ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date utc_time
	utc_timestamp uuid uuid_short uuid_to_bin uuid_v4 uuid_v7
	validate_password_strength values var_pop var_samp variance vec_distance vec_distance_cosine
	vec_distance_euclidean vec_fromtext vec_totext vector_dim vector_distance vector_to_string version
	week weekday weekofyear weight_string within
	x xmltype
	y year yearweek
`)

// serverVariables tell of the server that answers, not of the session: the primary answers them, so that
// a framework that asks @@read_only finds the server that takes writes.
var serverVariables = wordSet(`
	bind_address datadir hostname in_transaction innodb_read_only last_gtid log_bin port read_only
	relay_log report_host report_port server_id server_uuid socket super_read_only transaction_read_only
	tx_read_only offline_mode general_log slow_query_log
`)

// serverVariablePrefixes begin the names of more of them.
var serverVariablePrefixes = []string{
	"gtid", "rpl_", "slave_", "replica_", "master_", "source_", "wsrep_", "group_replication_", "binlog_", "log_bin_",
}

// isServerVariable reports whether a system variable, by lower-case name, is one of the server.
func isServerVariable(name string) bool {
	if serverVariables[name] {
		return true
	}
	for _, p := range serverVariablePrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// isSystemDatabase reports whether a database tells of the server itself.
func isSystemDatabase(name string) bool {
	switch len(name) {
	case len("sys"), len("mysql"), len("information_schema"): // as long as performance_schema
		return strings.EqualFold(name, "sys") || strings.EqualFold(name, "mysql") ||
			strings.EqualFold(name, "information_schema") || strings.EqualFold(name, "performance_schema")
	}
	return false
}

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}
