package router

// This file decides by the words of a statement: what it is by the first of them, and what its
// functions and variables do to the session. Only queries go on to the parser, which proves that they
// read and nothing else. The words are enough for all that the parser can't read.

const (
	ruleWrite       = "write"
	ruleDefinition  = "definition"
	ruleAdmin       = "server administration"
	ruleTransaction = "transaction control"
	ruleMetadata    = "metadata"
	rulePrimary     = "answered by the primary"
	ruleLastValue   = "reads a value of the last statement"
	ruleUnknown     = "unknown statement"
	ruleLockingRead = "locking read"
)

// byFirstWord is what to do about a statement that begins with a word. What isn't here is unknown: a
// write that may change the session in ways nobody sees.
var byFirstWord map[string]func(stmt, *Plan)

func init() {
	byFirstWord = map[string]func(stmt, *Plan){
		"SELECT": query, "WITH": query, "VALUES": query, "TABLE": query,
		"INSERT": dml, "REPLACE": dml, "UPDATE": dml, "DELETE": dml,
		"LOAD": load, "CALL": pinned(PinCall, "calls a procedure"), "DO": do,
		"BEGIN": begin, "START": start, "COMMIT": commit, "ROLLBACK": rollback,
		"SAVEPOINT": savepoint, "RELEASE": control,
		"SET": set, "USE": use, "SHOW": show, "KILL": kill,
		"EXPLAIN": explain, "DESCRIBE": explain, "DESC": explain, "ANALYZE": analyze,
		"LOCK": lock, "UNLOCK": unlock, "FLUSH": flush, "BACKUP": backup,
		"PREPARE": pinned(PinPrepare, "prepares a statement"), "EXECUTE": execute, "DEALLOCATE": deallocate,
		"HANDLER": handler, "XA": xa, "GET": diagnostics,
		"CREATE": create, "ALTER": as(ruleDefinition), "DROP": drop, "RENAME": as(ruleDefinition),
		"TRUNCATE": as(ruleWrite), "GRANT": as(ruleDefinition), "REVOKE": as(ruleDefinition),
		"BINLOG": pinned(PinVariable, "applies a binary log event"),
	}
	for _, w := range []string{
		"CACHE", "CHANGE", "CHECK", "CHECKSUM", "CLONE", "HELP", "IMPORT", "INSTALL", "OPTIMIZE", "PURGE",
		"REPAIR", "RESET", "RESIGNAL", "RESTART", "SHUTDOWN", "SIGNAL", "STOP", "UNINSTALL",
	} {
		byFirstWord[w] = as(ruleAdmin)
	}
}

// byWords plans one statement by its words.
func byWords(s stmt) *Plan {
	p := &Plan{Statements: 1, Parsed: true, Kill: Kill{Literal: -1}}
	first := s.skipParens()
	decide, ok := byFirstWord[first.word(0)]
	switch {
	case len(s) == 0:
		p.Statements, p.Kind, p.Class, p.Rule = 0, KindEmpty, ClassSession, "empty"
		return p
	case !ok, len(first) < len(s) && !isQueryWord(first.word(0)):
		unknown(s, p)
	default:
		decide(first, p)
	}
	if p.Rule != ruleDefinition {
		effects(s, p)
	}
	return p
}

func isQueryWord(w string) bool {
	return w == "SELECT" || w == "WITH" || w == "VALUES" || w == "TABLE"
}

func unknown(_ stmt, p *Plan) {
	p.Class, p.Rule, p.Pin, p.Parsed, p.Unknown = ClassWrite, ruleUnknown, PinUnknown, false, 1
}

// as makes a decision for statements that are writes and leave the session as it is.
func as(rule string) func(stmt, *Plan) {
	return func(_ stmt, p *Plan) { p.Rule = rule }
}

func pinned(pin, rule string) func(stmt, *Plan) {
	return func(_ stmt, p *Plan) { p.Pin, p.Rule = pin, rule }
}

func session(p *Plan, kind Kind, rule string) {
	p.Class, p.Kind, p.Rule = ClassSession, kind, rule
}

// fromPrimary is a read that only the primary answers.
func fromPrimary(p *Plan, rule string) {
	p.Class, p.Rule, p.Retriable = ClassWrite, rule, true
}

func query(s stmt, p *Plan) {
	p.proof = proofQuery
	for i := range s {
		switch {
		case s.words(i, "FOR", "UPDATE"): // which a READ ONLY transaction refuses
			p.needsPrimary(ruleLockingRead)
		case s.words(i, "FOR", "SHARE"), s.words(i, "LOCK", "IN"):
			p.needsPrimary(ruleLockingRead)
			p.locks = true
		case s.word(i) == "INTO":
			p.needsPrimary("SELECT INTO")
		}
	}
	p.Bare, p.BareNames = bare(s)
}

// needsPrimary says that a query isn't a pure read, whatever the parser finds.
func (p *Plan) needsPrimary(rule string) {
	if p.proof == proofQuery {
		p.proof, p.Rule = proofWrite, rule
	}
}

func dml(_ stmt, p *Plan) { p.proof, p.Rule = proofWrite, ruleWrite }

func do(s stmt, p *Plan) {
	p.Rule = "executes expressions"
	if _, calls := expressions(s); calls {
		p.pin(PinCall)
	}
}

func load(s stmt, p *Plan) {
	p.Rule = ruleWrite
	if s.word(1) != "INDEX" && s.has("LOCAL") {
		p.Kind = KindLoadLocal
	}
	for _, t := range s {
		if t.kind == tokUserVar {
			p.Pin = PinUserVars
		}
	}
}

func begin(s stmt, p *Plan) {
	if len(s) == 1 || len(s) == 2 && s.word(1) == "WORK" {
		session(p, KindBegin, ruleTransaction)
		return
	}
	p.Rule, p.Pin = "compound statement", PinUnknown
}

func start(s stmt, p *Plan) {
	if s.word(1) != "TRANSACTION" {
		p.Rule = ruleAdmin
		return
	}
	session(p, KindBegin, ruleTransaction)
	for i := range s {
		if s.words(i, "READ", "ONLY") {
			p.Kind = KindBeginReadOnly
		}
		if s.words(i, "READ", "WRITE") {
			p.Kind = KindBeginReadWrite
		}
	}
}

func commit(s stmt, p *Plan) {
	session(p, KindCommit, ruleTransaction)
	for i := range s {
		switch {
		case s.word(i-1) == "NO":
		case s.word(i) == "RELEASE":
			p.Kind = KindRelease
		case s.word(i) == "CHAIN":
			p.Pin = PinTx
		}
	}
}

func rollback(s stmt, p *Plan) {
	if s.word(1) == "TO" || s.words(1, "WORK", "TO") {
		control(s, p)
		return
	}
	commit(s, p)
}

func savepoint(s stmt, p *Plan) {
	control(s, p)
	p.Pin = PinSavepoint
}

// control is what moves inside a transaction: savepoints.
func control(_ stmt, p *Plan) { session(p, KindPlain, ruleTransaction) }

func use(s stmt, p *Plan) {
	session(p, KindUse, "changes the database")
	if len(s) == 2 && s[1].isName() {
		p.Tables = []Table{{Database: s[1].name()}}
	}
}

func kill(s stmt, p *Plan) {
	session(p, KindKill, "kills a session or statement")
	i := 1
	if s.word(i) == "HARD" || s.word(i) == "SOFT" {
		i++
	}
	if s.word(i) == "CONNECTION" || s.word(i) == "QUERY" {
		p.Kill.Query = s.word(i) == "QUERY"
		i++
	}
	if len(s) == i+1 {
		p.Kill.Literal = s[i].lit
	}
}

// lock pins until unlock. LOCK TABLES and LOCK INSTANCE FOR BACKUP are ended by statements of their own.
func lock(s stmt, p *Plan) {
	p.Pin, p.Rule = PinLocks, "locks tables"
	if s.word(1) == "INSTANCE" {
		p.Pin, p.Rule = PinInstance, "locks the instance"
	}
}

func unlock(s stmt, p *Plan) {
	p.Rule, p.Unpin = "unlocks tables", PinLocks
	if s.word(1) == "INSTANCE" {
		p.Rule, p.Unpin = "unlocks the instance", PinInstance
	}
}

func flush(s stmt, p *Plan) {
	p.Rule = ruleAdmin
	if s.has("LOCK", "EXPORT") {
		p.Pin = PinLocks
	}
	for i := range s { // of all tables: no tracker tells
		if (s.word(i) == "TABLES" || s.word(i) == "TABLE") && s.words(i+1, "WITH", "READ") {
			p.Pin = PinReadLock
		}
	}
}

// backup is MariaDB's BACKUP LOCK, UNLOCK and STAGE.
func backup(s stmt, p *Plan) {
	p.Rule, p.Pin = ruleAdmin, PinInstance
	if s.word(1) == "UNLOCK" || s.words(1, "STAGE", "END") {
		p.Pin, p.Unpin = "", PinInstance
	}
}

func execute(s stmt, p *Plan) {
	p.Rule, p.Pin = "executes a prepared statement", PinPrepare
	if s.word(1) == "IMMEDIATE" {
		p.Rule, p.Pin = "executes a text", PinUnknown
	}
}

func deallocate(_ stmt, p *Plan) { session(p, KindPlain, "drops a prepared statement") }

func handler(s stmt, p *Plan) {
	p.Rule = "handler"
	if s.has("OPEN") {
		p.Pin = PinHandler
	}
}

func xa(s stmt, p *Plan) {
	p.Rule = ruleTransaction
	switch s.word(1) {
	case "COMMIT", "ROLLBACK":
		p.Unpin = PinXA
	case "RECOVER":
	default:
		p.Pin = PinXA
	}
}

func diagnostics(s stmt, p *Plan) {
	session(p, KindPlain, ruleLastValue)
	p.Needs = Diagnostics
	for _, t := range s {
		if t.kind == tokUserVar {
			p.Pin = PinUserVars
		}
	}
}

// create leaves the bodies of programs and views alone: they aren't executed now.
func create(s stmt, p *Plan) {
	p.Rule = ruleDefinition
	i := 1
	if s.words(i, "OR", "REPLACE") {
		i += 2
	}
	if s.word(i) == "TEMPORARY" {
		p.Pin = PinTempTable
		i++
	}
	if s.word(i) == "TABLE" {
		p.Rule = "creates a table" // maybe from a query, whose functions are executed
	}
}

func drop(s stmt, p *Plan) {
	if s.word(1) == "PREPARE" {
		deallocate(s, p)
		return
	}
	p.Rule = ruleDefinition
}

func analyze(s stmt, p *Plan) {
	p.Rule = ruleAdmin
	if s.word(1) != "TABLE" && s.word(2) != "TABLE" {
		p.Rule = "executes what it analyzes" // MariaDB
	}
}

func explain(s stmt, p *Plan) {
	i := 1
	for ; i < len(s); i++ {
		switch w := s.word(i); {
		case isQueryWord(w), s.op(i) == "(":
			query(s.from(i).skipParens(), p)
			p.Bare, p.BareNames = nil, nil
			return
		case w == "INSERT", w == "REPLACE", w == "UPDATE", w == "DELETE":
			p.Rule = "explains a write"
			return
		case s.words(i, "FOR", "CONNECTION"):
			fromPrimary(p, rulePrimary)
			return
		}
	}
	p.Class, p.Rule, p.Retriable = ClassRead, ruleMetadata, true
}

// show decides by what is shown. What replicates with the data is read anywhere; what belongs to a
// server is the primary's, so that frameworks find the one that writes; a replica's own status is a replica's.
func show(s stmt, p *Plan) {
	i := 1
	for isShowPrefix(s.word(i)) {
		i++
	}
	p.Retriable = true
	switch s.word(i) {
	case "WARNINGS", "ERRORS", "COUNT":
		session(p, KindPlain, ruleLastValue)
		p.Needs, p.Retriable = Diagnostics, false
		return
	case "DATABASES", "SCHEMAS", "TABLES", "COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS", "CREATE", "TABLE",
		"COLLATION", "CHARACTER", "CHARSET", "TRIGGERS", "EVENTS", "PROCEDURE", "FUNCTION", "PACKAGE":
		p.Class, p.Rule = ClassRead, ruleMetadata
	case "REPLICA", "REPLICAS", "SLAVE", "SLAVES":
		fromPrimary(p, rulePrimary)
		if s.has("STATUS") {
			p.Class, p.Rule = ClassRead, "a replica's own status"
		}
	default:
		fromPrimary(p, rulePrimary)
	}
	for k := range s {
		if s.op(k) == "(" {
			p.Class, p.Rule, p.Retriable = ClassWrite, "SHOW with an expression", false
		}
	}
}

func isShowPrefix(w string) bool {
	switch w {
	case "FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL", "ALL", "STORAGE":
		return true
	}
	return false
}
