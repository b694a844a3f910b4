package mysqlwire

// track.go: what the server's session trackers tell, kept on the conn, and filtered for the client.

import (
	"bytes"
	"slices"
	"strings"

	"leat/proxy/wire"
	"leat/shard"
)

// Variables whose report says nothing of the session's state.
var ignoredVariables = map[string]bool{
	"statement_id":                   true, // MySQL: a new number in every reply
	"last_gtid":                      true, // MariaDB: the position, handled apart
	"last_insert_id":                 true,
	"identity":                       true,
	"insert_id":                      true,
	"pseudo_thread_id":               true,
	"rand_seed1":                     true,
	"rand_seed2":                     true,
	"timestamp":                      true,
	"character_set_database":         true, // follows the database
	"collation_database":             true,
	"in_transaction":                 true,
	"warning_count":                  true,
	"error_count":                    true,
	"session_track_gtids":            true,
	"session_track_schema":           true,
	"session_track_state_change":     true,
	"session_track_system_variables": true,
	"session_track_transaction_info": true,
	"gtid_next":                      true, // the router pins it
}

// observe takes the tracker data of one OK packet into the conn's state and the outcome.
func (c *Conn) observe(track []byte, out *wire.Outcome) error {
	changed, told := false, false
	for len(track) > 0 {
		e, rest, err := nextTrack(track)
		if err != nil {
			return err
		}
		track = rest
		switch e.kind {
		case TrackSystemVariables:
			err = eachVariable(e.data, func(name, value []byte) { told = c.observeVariable(name, value, out) || told })
			if err != nil {
				return err
			}
		case TrackSchema:
			name, _, ok := readLenencString(e.data)
			if !ok {
				return malformed("tracked schema")
			}
			c.state = c.state.WithDatabase(string(name))
			told = true
		case TrackStateChange:
			changed = true
		case TrackGTIDs:
			if len(e.data) > 1 { // one byte of encoding, then the set
				if set, _, ok := readLenencString(e.data[1:]); ok {
					c.reached(out, set)
				}
			}
		case TrackTxCharacteristic:
			text, _, ok := readLenencString(e.data)
			c.nextTx = ok && len(text) > 0
		case TrackTxState:
			text, _, ok := readLenencString(e.data)
			c.locked = ok && bytes.IndexByte(text, 'L') >= 0
		}
	}
	out.StateChanged = out.StateChanged || changed && !told
	return nil
}

// reached adds what a result says that it wrote to what those before it in the same reply wrote.
func (c *Conn) reached(out *wire.Outcome, gtids []byte) {
	switch {
	case len(gtids) == 0:
		return
	case out.Position == "":
		out.Position = string(gtids)
		return
	}
	parse := shard.ParseMySQLPosition
	if c.flavor == wire.FlavorMariaDB {
		parse = shard.ParseMariaDBPosition
	}
	before, err := parse("", out.Position)
	now, err2 := parse("", string(gtids))
	if err != nil || err2 != nil {
		out.Position = string(gtids)
		return
	}
	out.Position = before.Union(now).String()
}

// observeVariable takes one variable's new value. It reports whether that says what has changed.
func (c *Conn) observeVariable(name, value []byte, out *wire.Outcome) bool {
	switch {
	case string(name) == "last_gtid":
		c.reached(out, value)
		return false
	case string(name) == "character_set_connection":
		c.collationUnknown = true // SET NAMES reports the charset and not the collation
		return true
	case ignoredVariables[string(name)]:
		return false
	case string(name) == "collation_connection":
		c.collationUnknown = false
	case c.readOnly && (string(name) == "transaction_read_only" || string(name) == "tx_read_only"):
		return true
	}
	key := strings.ToLower(string(name))
	if old, ok := c.state.Get(key); !ok || old != string(value) {
		c.state = c.state.With(key, string(value))
	}
	return true
}

// Learn implements wire.Conn. MariaDB reports SET x and SET SESSION x, and not SET @@x.
func (c *Conn) Learn(names []string) error {
	if c.flavor == wire.FlavorMariaDB && len(names) > 0 {
		if err := c.learnVariables(names); err != nil {
			return err
		}
	}
	return c.learnCollation()
}

func (c *Conn) learnVariables(names []string) error {
	vars := make([]wire.Var, len(names))
	for i, name := range names {
		vars[i].Name = name
	}
	values, err := c.variables("SESSION", vars)
	if err != nil {
		return err
	}
	var out wire.Outcome
	for i, name := range names {
		c.observeVariable([]byte(name), []byte(values[i]), &out)
	}
	return nil
}

// learnCollation asks for the collation after a SET NAMES, whose report leaves it out.
func (c *Conn) learnCollation() error {
	if !c.collationUnknown {
		return nil
	}
	rows, err := c.query("SELECT @@collation_connection")
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return malformed("answer to @@collation_connection")
	}
	c.state, c.collationUnknown = c.state.With("collation_connection", rows[0][0]), false
	return nil
}

// trackers are the session_track_* settings that a client believes to be in force. Leat keeps its
// own on every conn and passes on what the client asked for.
type trackers struct {
	schema      bool
	stateChange bool
	gtids       bool
	txState     bool
	txInfo      bool // what would start the transaction again, beside its state
	allVars     bool
	vars        map[string]bool
	// inTx: MySQL reports the begin and the end of an explicit transaction even to those who asked for nothing.
	inTx bool
}

func defaultTrackers() trackers { return trackers{schema: true} }

// defaultTracked are the variables that both flavors report unless told otherwise, sorted.
var defaultTracked = []string{"autocommit", "character_set_client", "character_set_connection", "character_set_results", "time_zone"}

func (t *trackers) wantsVar(name string) bool {
	if t.allVars {
		return true
	}
	if t.vars == nil {
		return slices.Contains(defaultTracked, name)
	}
	return t.vars[name]
}

// filter keeps of a list of session state changes what the client asked for. It appends to dst.
func (t *trackers) filter(dst, track []byte, flavor wire.Flavor) []byte {
	for len(track) > 0 {
		e, rest, err := nextTrack(track)
		if err != nil {
			return dst
		}
		track = rest
		switch e.kind {
		case TrackSystemVariables:
			dst = t.filterVars(dst, e.data)
		case TrackSchema:
			dst = appendIf(dst, t.schema, e.raw)
		case TrackStateChange:
			dst = appendIf(dst, t.stateChange, e.raw)
		case TrackGTIDs:
			dst = appendIf(dst, t.gtids, e.raw)
		case TrackTxCharacteristic:
			dst = appendIf(dst, t.txInfo, e.raw)
		case TrackTxState:
			dst = appendIf(dst, t.txState || flavor == wire.FlavorMySQL && t.bounds(e.data), e.raw)
			if dst == nil && flavor == wire.FlavorMySQL && t.begins(e.data) {
				dst = []byte{} // MySQL says that something changed, and not what
			}
		}
	}
	return dst
}

// begins reports whether a transaction's state is that of one that has just been begun, in place of another maybe.
func (t *trackers) begins(data []byte) bool {
	text, _, _ := readLenencString(data)
	return string(text) == "T_______"
}

// bounds reports whether a transaction's state is that of one that has just been begun, or ended.
func (t *trackers) bounds(data []byte) bool {
	text, _, _ := readLenencString(data)
	was := t.inTx
	t.inTx = len(text) > 0 && text[0] == 'T'
	return t.inTx != was
}

// filterVars writes one entry per variable, as the servers do.
func (t *trackers) filterVars(dst, data []byte) []byte {
	_ = eachVariable(data, func(name, value []byte) {
		if !t.wantsVar(strings.ToLower(string(name))) {
			return
		}
		n := lenencSize(len(name)) + len(name) + lenencSize(len(value)) + len(value)
		dst = append(dst, TrackSystemVariables)
		dst = appendLenencInt(dst, uint64(n))
		dst = appendLenencString(dst, name)
		dst = appendLenencString(dst, value)
	})
	return dst
}

func appendIf(dst []byte, want bool, p []byte) []byte {
	if want {
		return append(dst, p...)
	}
	return dst
}

func lenencSize(n int) int {
	switch {
	case n < 251:
		return 1
	case n < 1<<16:
		return 3
	case n < 1<<24:
		return 4
	}
	return 9
}

func sortedNames(list string) []string {
	names := strings.Split(strings.ToLower(list), ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	slices.Sort(names)
	return names
}

// set takes a client's SET of a session_track_* variable.
func (t *trackers) set(name, value string) {
	on := func() bool {
		switch strings.ToUpper(value) {
		case "1", "ON", "TRUE":
			return true
		}
		return false
	}
	switch name {
	case "session_track_schema":
		t.schema = on()
	case "session_track_state_change":
		t.stateChange = on()
	case "session_track_gtids":
		t.gtids = strings.ToUpper(value) != "OFF" && value != "0"
	case "session_track_transaction_info":
		t.txState = strings.ToUpper(value) != "OFF" && value != "0"
		t.txInfo = strings.ToUpper(value) == "CHARACTERISTICS" || value == "2"
	case "session_track_system_variables":
		if slices.Equal(sortedNames(value), defaultTracked) {
			t.allVars, t.vars = false, nil
			return
		}
		t.allVars = value == "*"
		t.vars = make(map[string]bool)
		for _, v := range sortedNames(value) {
			t.vars[v] = true
		}
	}
}
