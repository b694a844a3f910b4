package router

// This file finds, anywhere in a PostgreSQL statement, the functions that change the session's conn. It goes by
// the words alone, so it works on what no parser reads. See effects_mysql.go.

const (
	ruleAdvisory  = "advisory lock"
	ruleTxID      = "assigns a transaction id"
	ruleSetConfig = "sets a setting"
	ruleText      = "runs the SQL in a text"
	ruleSlot      = "replication slot or origin"
)

// functionEffectsPostgres are by lower-case name.
var functionEffectsPostgres = map[string]effect{
	"pg_advisory_lock":                     {pin: PinAdvisory, rule: ruleAdvisory},
	"pg_advisory_lock_shared":              {pin: PinAdvisory, rule: ruleAdvisory},
	"pg_try_advisory_lock":                 {pin: PinAdvisory, mayUnpin: PinAdvisory, rule: ruleAdvisory},
	"pg_try_advisory_lock_shared":          {pin: PinAdvisory, mayUnpin: PinAdvisory, rule: ruleAdvisory},
	"pg_advisory_unlock":                   {mayUnpin: PinAdvisory, rule: ruleAdvisory},
	"pg_advisory_unlock_shared":            {mayUnpin: PinAdvisory, rule: ruleAdvisory},
	"pg_advisory_unlock_all":               {unpin: PinAdvisory, rule: ruleAdvisory},
	"pg_advisory_xact_lock":                {rule: ruleAdvisory},
	"pg_advisory_xact_lock_shared":         {rule: ruleAdvisory},
	"pg_try_advisory_xact_lock":            {rule: ruleAdvisory},
	"pg_try_advisory_xact_lock_shared":     {rule: ruleAdvisory},
	"setseed":                              {pin: PinSeed, rule: "seeds random()"},
	"set_config":                           {settings: true},
	"nextval":                              {rule: ruleSequence},
	"setval":                               {rule: ruleSequence},
	"currval":                              {pin: PinSequence, rule: ruleSequence},
	"lastval":                              {pin: PinSequence, rule: ruleSequence},
	"txid_current":                         {rule: ruleTxID},
	"pg_current_xact_id":                   {rule: ruleTxID},
	"pg_notify":                            {rule: "notifies"},
	"pg_backup_start":                      {pin: PinInstance, rule: ruleAdmin},
	"pg_backup_stop":                       {unpin: PinInstance, rule: ruleAdmin},
	"pg_create_physical_replication_slot":  {pin: PinUnknown, rule: ruleSlot},
	"pg_create_logical_replication_slot":   {pin: PinUnknown, rule: ruleSlot},
	"pg_copy_physical_replication_slot":    {pin: PinUnknown, rule: ruleSlot},
	"pg_copy_logical_replication_slot":     {pin: PinUnknown, rule: ruleSlot},
	"pg_replication_origin_session_setup":  {pin: PinUnknown, rule: ruleSlot},
	"pg_replication_origin_session_reset":  {rule: ruleSlot},
	"query_to_xml":                         {taints: true, rule: ruleText},
	"query_to_xmlschema":                   {taints: true, rule: ruleText},
	"query_to_xml_and_xmlschema":           {taints: true, rule: ruleText},
	"cursor_to_xml":                        {taints: true, rule: ruleText},
	"cursor_to_xmlschema":                  {taints: true, rule: ruleText},
	"ts_stat":                              {taints: true, rule: ruleText},
	"ts_rewrite":                           {taints: true, rule: ruleText},
	"pg_isolation_test_session_is_blocked": {rule: ruleAdmin},
}

// pgEffects adds to the plan what the statement's functions do.
func pgEffects(s stmt, p *Plan) {
	for i, t := range s {
		if !t.isName() || s.op(i+1) != "(" {
			continue
		}
		e := functionEffectsPostgres[t.ident()]
		p.apply(e)
		p.Advances = p.Advances || e.rule == ruleSequence && e.pin == ""
		if e.settings {
			setConfig(s.from(i+2), p)
		}
	}
	if s.word(0) == "UPDATE" || s.has("UPDATE") {
		for i := range s {
			if s.word(i) == "PG_SETTINGS" || s[i].text == `"pg_settings"` { // a rule turns it into set_config
				p.pin(PinVariable)
				return
			}
		}
	}
}

// setConfig reads the arguments of set_config(name, value, is_local). One whose name isn't spelled out pins the
// session.
func setConfig(args stmt, p *Plan) {
	if len(args) == 0 {
		return
	}
	list := args.split(",")
	name, ok := list[0][0].plainText()
	if !ok || len(list[0]) != 1 || len(list) < 3 {
		p.pin(PinVariable)
		return
	}
	if list[2].word(0) == "TRUE" && list[2].op(1) == ")" {
		return // until the transaction ends
	}
	p.assigns(name)
}
