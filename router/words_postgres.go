package router

// This file decides by the words of a PostgreSQL statement: what it is by the first of them, and what its
// functions do to the session. Only queries and what changes rows go on to the parser. See words_mysql.go.

// pgByFirstWord is what to do about a statement that begins with a word. What isn't here is unknown.
var pgByFirstWord map[string]func(stmt, *Plan)

func init() {
	pgByFirstWord = map[string]func(stmt, *Plan){
		"SELECT": pgQuery, "WITH": pgQuery, "VALUES": pgQuery, "TABLE": pgQuery,
		"INSERT": dml, "UPDATE": dml, "DELETE": dml, "MERGE": dml, "COPY": pgCopy,
		"CALL": tainted("calls a procedure"), "DO": tainted("runs a block of code"),
		"BEGIN": pgBeginStmt, "START": pgBeginStmt, "COMMIT": pgCommit, "END": pgCommit, "ROLLBACK": pgCommit, "ABORT": pgCommit,
		"SAVEPOINT": control, "RELEASE": control,
		"SET": pgSetStmt, "RESET": pgReset, "DISCARD": pgDiscard, "SHOW": pgShow, "EXPLAIN": pgExplain,
		"PREPARE": pgPrepare, "EXECUTE": pgExecute, "DEALLOCATE": pgDeallocate,
		"DECLARE": declare, "FETCH": cursor, "MOVE": cursor, "CLOSE": closeCursor,
		"LISTEN": listen, "UNLISTEN": unlisten, "NOTIFY": as("notifies"),
		"LOCK": lockPg, "TRUNCATE": as(ruleWrite), "LOAD": pinned(PinUnknown, "loads a library"),
		"CREATE": pgCreateStmt, "DROP": pgDrop,
	}
	for _, w := range []string{"ALTER", "COMMENT", "GRANT", "REVOKE", "REASSIGN", "SECURITY", "IMPORT"} {
		pgByFirstWord[w] = as(ruleDefinition)
	}
	for _, w := range []string{"VACUUM", "ANALYZE", "ANALYSE", "CHECKPOINT", "CLUSTER", "REINDEX", "REFRESH"} {
		pgByFirstWord[w] = as(ruleAdmin)
	}
}

// pgByWords plans one statement by its words.
func pgByWords(s stmt) *Plan {
	p := &Plan{Statements: 1, Parsed: true, Kill: Kill{Literal: -1}}
	first := s.skipParens()
	decide, ok := pgByFirstWord[first.word(0)]
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
		pgEffects(s, p)
	}
	return p
}

func lockPg(_ stmt, p *Plan) { p.Rule, p.locks = "locks tables", true }

// tainted makes a decision for statements that may do anything to the session without a word of it.
func tainted(rule string) func(stmt, *Plan) {
	return func(_ stmt, p *Plan) { p.Rule, p.Taints = rule, true }
}

// pgQuery reads a query. What the parser sees too is looked for in case it can't read the text.
func pgQuery(s stmt, p *Plan) {
	p.proof = proofQuery
	for i := range s {
		switch {
		case s.words(i, "FOR", "UPDATE"), s.words(i, "FOR", "NO", "KEY"), s.words(i, "FOR", "SHARE"), s.words(i, "FOR", "KEY", "SHARE"):
			p.needsPrimary("locking read")
		case s.word(i) == "INTO":
			into(s, i+1, p)
		}
	}
}

// into reads what follows INTO, in a query or in a write within it.
func into(s stmt, i int, p *Plan) {
	switch s.word(i - 2) {
	case "INSERT", "MERGE":
		p.needsPrimary(ruleWrite)
	default:
		p.needsPrimary("SELECT INTO")
	}
	if isTemporary(s, i) {
		p.pin(PinTempTable)
	}
}

// isTemporary reports whether the words from i on begin the name of a temporary table.
func isTemporary(s stmt, i int) bool {
	if s.word(i) == "LOCAL" || s.word(i) == "GLOBAL" {
		i++
	}
	return s.word(i) == "TEMP" || s.word(i) == "TEMPORARY"
}

// pgCopy reads COPY. Only rows that go to the client can be a read.
func pgCopy(s stmt, p *Plan) {
	p.Rule, p.proof = ruleWrite, proofWrite
	depth := 0
	for i := 1; i < len(s); i++ {
		switch {
		case s.op(i) == "(":
			depth++
		case s.op(i) == ")":
			depth--
		case depth > 0:
		case s.word(i) == "FROM":
			if s.word(i+1) == "STDIN" {
				p.Kind = KindCopy
			}
			return
		case s.word(i) == "TO" && s.word(i+1) == "STDOUT":
			p.Kind = KindCopy
			pgQuery(s, p)
			return
		case s.word(i) == "TO":
			p.Rule = "writes to a file of the server"
			return
		}
	}
}

func pgBeginStmt(s stmt, p *Plan) {
	if s.word(0) == "START" && s.word(1) != "TRANSACTION" {
		unknown(s, p)
		return
	}
	session(p, KindBegin, ruleTransaction)
	for i := range s {
		switch {
		case s.word(i) == "SERIALIZABLE": // a standby refuses it
			p.Kind = KindBeginReadWrite
			return
		case s.words(i, "READ", "ONLY"):
			p.Kind = KindBeginReadOnly
		case s.words(i, "READ", "WRITE"):
			p.Kind = KindBeginReadWrite
		}
	}
}

// pgCommit reads COMMIT, END, ROLLBACK and ABORT.
func pgCommit(s stmt, p *Plan) {
	i := 1
	if s.word(i) == "PREPARED" {
		p.Rule = ruleTransaction
		return
	}
	if s.word(i) == "WORK" || s.word(i) == "TRANSACTION" {
		i++
	}
	if s.word(i) == "TO" {
		control(s, p)
		return
	}
	session(p, KindCommit, ruleTransaction)
	if s.words(i, "AND", "CHAIN") {
		p.Pin = PinTx
	}
}

// pgShow is of the session or of the server that it is on.
func pgShow(_ stmt, p *Plan) {
	session(p, KindPlain, "shows settings")
	p.Retriable = true
}

// pgExplain runs what it explains with ANALYZE only. The parser tells queries from writes.
func pgExplain(s stmt, p *Plan) {
	for i := 1; i < len(s); i++ {
		switch s.word(i) {
		case "EXECUTE":
			pgExecute(s, p)
			return
		case "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE":
			pgQuery(s, p)
			return
		case "DECLARE", "CREATE", "REFRESH":
			p.Rule, p.proof = "explains a write", proofWrite
			return
		}
	}
	p.Rule, p.proof = ruleUnparsed, proofWrite
}

func pgPrepare(s stmt, p *Plan) {
	if s.word(1) == "TRANSACTION" {
		p.Rule = ruleTransaction
		return
	}
	p.Rule, p.Pin = "prepares a statement", PinPrepare
	namesStatement(s, 1, p)
}

// pgExecute reads EXECUTE, wherever it stands in a statement.
func pgExecute(s stmt, p *Plan) {
	p.Rule, p.Taints = "executes a prepared statement", true
	for i := range s {
		if s.word(i) == "EXECUTE" {
			namesStatement(s, i+1, p)
			return
		}
	}
}

// namesStatement notes the prepared statement that the word at i names.
func namesStatement(s stmt, i int, p *Plan) {
	if i < len(s) && s[i].isName() {
		p.Names = append(p.Names, s[i].ident())
	}
}

func pgDeallocate(s stmt, p *Plan) {
	session(p, KindDeallocate, "drops a prepared statement")
	i := 1
	if s.word(i) == "PREPARE" && len(s) > 2 {
		i++
	}
	switch {
	case len(s) != i+1 || !s[i].isName():
		unknown(s, p)
		p.Kind = KindPlain
	case s.word(i) == "ALL":
		p.Unpin = PinPrepare
	default:
		p.Deallocate, p.MayUnpin = s[i].ident(), PinPrepare
		p.Names, p.Drops = []string{p.Deallocate}, []string{p.Deallocate}
	}
}

// declare opens a cursor. Without HOLD it ends with the transaction.
func declare(s stmt, p *Plan) {
	p.Rule, p.proof = "declares a cursor", proofWrite
	for i := range s {
		if s.word(i) == "FOR" || s.word(i) == "SELECT" {
			break
		}
		if s.words(i, "WITH", "HOLD") {
			p.pin(PinHoldCursor)
		}
	}
}

func cursor(_ stmt, p *Plan) { session(p, KindPlain, "moves a cursor") }

func closeCursor(s stmt, p *Plan) {
	session(p, KindPlain, "closes a cursor")
	if s.word(1) == "ALL" {
		p.Unpin = PinHoldCursor
	} else {
		p.MayUnpin = PinHoldCursor
	}
}

func listen(_ stmt, p *Plan) {
	session(p, KindPlain, "listens")
	p.Pin = PinListen
}

func unlisten(s stmt, p *Plan) {
	session(p, KindPlain, "stops listening")
	if s.op(1) == "*" {
		p.Unpin = PinListen
	} else {
		p.MayUnpin = PinListen
	}
}

// pgCreateStmt leaves the bodies of functions and views alone: they aren't executed now. What fills a table is.
func pgCreateStmt(s stmt, p *Plan) {
	p.Rule = ruleDefinition
	i := 1
	if s.words(i, "OR", "REPLACE") {
		i += 2
	}
	temporary := isTemporary(s, i)
	for k := i; k < len(s) && !temporary; k++ {
		temporary = s[k].isName() && s[k].ident() == "pg_temp" && s.op(k+1) == "."
	}
	if temporary {
		p.Pin = PinTempTable
	}
	for ; i < len(s) && s.op(i) != "("; i++ {
		if s.word(i) == "TABLE" || s.words(i, "MATERIALIZED", "VIEW") {
			p.Rule = "creates a table"
		}
	}
	if p.Rule != ruleDefinition && s.has("AS") {
		p.proof = proofWrite
	}
	for k := range s {
		if s.words(k, "AS", "EXECUTE") {
			namesStatement(s, k+2, p)
		}
	}
	for k := range s {
		if s.words(k, "ON", "COMMIT", "DROP") {
			p.Pin = ""
		}
	}
}

func pgDrop(_ stmt, p *Plan) {
	p.Rule, p.MayUnpin = ruleDefinition, PinTempTable
}
