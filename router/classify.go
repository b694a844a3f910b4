package router

import (
	"cmp"
	"hash/fnv"
	"strings"
)

// This file makes a plan on a miss of the cache: from the words of the statement, from the parser's
// findings if it is a query, and from what is known of the session.

// maxLearned bounds the settings of one text whose values are asked for.
const maxLearned = 100

const (
	ruleExecutable = "executable comment"
	ruleBatch      = "several statements, not all of them reads"
	ruleTooLong    = "too long to be parsed"
	ruleTooDeep    = "too deep to be parsed"
	ruleCantRead   = "can't be read with certainty"
	ruleLocks      = "SERIALIZABLE: its reads lock"
)

// makePlan plans a text that was read without doubt.
func (r *Router) makePlan(d dialect, sql []byte, f *Facts, t *pass, literals []Literal) *Plan {
	text := string(t.out)
	hint, rest := cutLeadHint(text)
	p, toks := d.words(rest, t.executed)
	if toks.word(0) == "LEAT" {
		return leatCommand(d, sql, f.Mode)
	}
	p.Text, p.Digest = text, digest(text)
	if hint != "" {
		p.Hints = parseHints(hint)
	}
	if p.Kind == KindLeatSet {
		p.setLeatValue(toks, literals)
		return p
	}
	if p.proof != proofNone {
		r.prove(d, p, sql, f, t)
	}
	r.adjust(d, p, f)
	if !p.Parsed {
		r.plans.unparsed.Add(1)
	}
	return p
}

// planWords plans a text by its words. With executed comments there are two readings of it, and the
// plan is the stricter of both in everything.
func planWords(toks stmt, hasExecuted bool) *Plan {
	p := planStatements(toks.reading(executed).statements(), byWords)
	if !hasExecuted {
		return p
	}
	other := planStatements(toks.reading(skipped).statements(), byWords)
	if other.Kind != KindEmpty {
		if p.Kind != other.Kind {
			p.Kind = KindPlain
			p.pin(PinUnknown)
		}
		p.absorb(other)
	}
	switch p.Kind {
	case KindKill:
		p.Kill.Literal = -1
	case KindTrackerSet:
		p.pin(PinVariable)
		p.Kind = KindSet
	case KindLeatSet:
		p.Kind, p.Leat = KindSet, LeatCommand{}
	}
	p.Class, p.Rule, p.proof, p.Retriable = ClassWrite, ruleExecutable, proofNone, false
	p.Bare, p.BareNames = nil, nil
	return p
}

// planStatements plans a text of any number of statements: the strictest of them counts.
func planStatements(list []stmt, byWords func(stmt) *Plan) *Plan {
	if len(list) == 0 {
		return byWords(nil)
	}
	p := byWords(list[0])
	if len(list) == 1 {
		return p
	}
	p.batch()
	queried := p.proof == proofQuery
	for _, s := range list[1:] {
		next := byWords(s)
		next.batch()
		next.Needs &^= RowCount | Diagnostics // of the statement before, in the same text
		if queried {
			next.Needs &^= FoundRows
		}
		queried = queried || next.proof == proofQuery
		p.absorb(next)
	}
	p.Statements = len(list)
	return p
}

// batch makes a plan one of several in a request.
func (p *Plan) batch() {
	switch p.Kind {
	case KindKill: // never sent: its number would be taken as a server's
		p.Kill.Literal = -1
	case KindBegin, KindBeginReadOnly, KindBeginReadWrite, KindCommit, KindRelease:
		p.Kind, p.MixesTx = KindPlain, true
	default:
		p.Kind = KindPlain
	}
	if len(p.Trackers) > 0 {
		p.pin(PinVariable) // what follows may go untracked
	}
	p.Deallocate, p.defines = "", p.Defines()
	p.Unpin, p.Leat, p.Bare, p.BareNames, p.Tables = "", LeatCommand{}, nil, nil, nil
	if p.proof == proofNone && p.Class != ClassRead {
		p.Class, p.Rule, p.Retriable = ClassWrite, ruleBatch, false
	}
}

// absorb makes p at least as strict as q.
func (p *Plan) absorb(q *Plan) {
	if q.Kind == KindKill {
		p.Kind, p.Kill = KindKill, q.Kill
	}
	switch {
	case p.Class == q.Class && p.proof == q.proof:
	case p.proof == proofNone || q.proof == proofNone:
		p.Class, p.Rule, p.proof = ClassWrite, ruleBatch, proofNone
	default: // a query, and one that isn't a pure read or a write
		p.Class, p.Rule, p.proof = ClassWrite, ruleBatch, proofWrite
	}
	p.Trackers = append(p.Trackers, q.Trackers...)
	p.Untracked = append(p.Untracked, q.Untracked...)
	p.Resets = append(p.Resets, q.Resets...)
	if len(p.Untracked) > maxLearned || len(p.Resets) > maxLearned {
		p.Untracked, p.Resets = p.Untracked[:min(len(p.Untracked), maxLearned)], nil
		p.pin(PinVariable)
	}
	p.Names, p.Drops = append(p.Names, q.Names...), append(p.Drops, q.Drops...)
	if len(p.Names) > maxLearned {
		p.Names, p.Drops = nil, nil
	}
	p.Advances = true
	p.ResetsAll = p.ResetsAll || q.ResetsAll
	p.Taints = p.Taints || q.Taints
	p.MixesTx = p.MixesTx || q.MixesTx
	p.defines = p.defines || q.defines
	p.locks = p.locks || q.locks
	p.MayUnpin = cmp.Or(p.MayUnpin, q.MayUnpin)
	p.Retriable = p.Retriable && q.Retriable
	p.Parsed = p.Parsed && q.Parsed
	if p.Unknown += q.Unknown; p.Pin != "" && q.Pin != "" && (p.Unknown == q.Unknown || q.Unknown == 0) {
		p.Unknown = 0 // one of them has another reason
	}
	if q.Pin != "" {
		p.pin(q.Pin)
	}
	p.Unpin = ""
	p.Needs |= q.Needs
	p.Opaque = p.Opaque || q.Opaque
	p.SetsInsertID = p.SetsInsertID || q.SetsInsertID
}

// prove lets the parser read the text and completes the plan with what it finds.
func (r *Router) prove(d dialect, p *Plan, sql []byte, f *Facts, t *pass) {
	found, rule := findings{}, ruleTooDeep
	if t.maxDepth <= maxDepth && t.tokens <= maxTokens {
		found, rule = d.parse(sql, f.Mode, r.maxParse), ruleUnparsed
	}
	if !found.parsed {
		p.Parsed = false
		if p.proof == proofQuery {
			p.Rule = rule
		}
		p.Bare, p.BareNames = nil, nil
		d.unread(p)
		return
	}
	p.Tables, p.calls, p.Opaque = found.tables, found.asked, false
	if found.unknown != "" {
		if len(found.asked) > 0 {
			pure := *p
			r.decide(d, &pure, &found, f)
			p.ifPure = &pure
		}
		found.impure = cmp.Or(found.impure, found.unknown)
		d.called(p)
	}
	if p.proof == proofQuery {
		p.decideQuery(&found)
	}
}

// decide completes a plan for a session whose catalog says that all functions are harmless.
func (r *Router) decide(d dialect, p *Plan, found *findings, f *Facts) {
	if p.proof == proofQuery {
		p.decideQuery(found)
	}
	r.adjust(d, p, f)
}

// decideQuery says what a query is that was parsed.
func (p *Plan) decideQuery(f *findings) {
	switch {
	case f.writes:
		p.Rule = ruleWrite
	case f.impure != "":
		p.Rule = f.impure
	case f.settings && len(f.tables) == 0 && f.server == "":
		p.Class, p.Rule = ClassSession, ruleSetConfig
	case f.settings:
		p.Rule = ruleSetConfig
	case p.Needs != 0 && len(f.tables) == 0:
		p.Class, p.Rule = ClassSession, ruleLastValue
	case p.Needs != 0:
		p.Rule = ruleLastValue
	case f.server != "":
		fromPrimary(p, f.server)
	case f.userVars && len(f.tables) == 0:
		p.Class, p.Rule = ClassSession, ruleUserVars
	default:
		p.Class, p.Rule, p.Retriable = ClassRead, rulePure, true
	}
}

const rulePins = "the session keeps its conn after it"

// adjust applies what is known beside the text.
func (r *Router) adjust(d dialect, p *Plan, f *Facts) {
	if p.Pin != "" {
		p.Unpin = ""
	}
	if p.Kind != KindLeatSet {
		p.Leat = LeatCommand{}
	}
	switch {
	case p.Class != ClassRead:
	case p.Pin != "" && p.Pin != PinDiagnostic: // the primary can serve all that the session does next
		p.Class, p.Rule, p.Retriable = ClassWrite, rulePins, false
	case r.misrouted.has(p.Text):
		p.Class, p.Rule, p.Retriable = ClassWrite, ruleMisrouted, false
	}
	d.adjust(p, f)
}

func digest(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash doesn't fail
	return h.Sum64()
}

// leatCommand reads LEAT SHOW x and LEAT EXPLAIN statement from the text itself.
func leatCommand(d dialect, sql []byte, mode Mode) *Plan {
	p := &Plan{Text: "LEAT", Digest: digest("LEAT"), Class: ClassSession, Rule: "a command to Leat", Parsed: true, Statements: 1, Kill: Kill{Literal: -1}}
	verb, behind := d.behind(sql, mode)
	rest := strings.TrimRight(strings.TrimSpace(string(behind)), "; \t\r\n")
	switch verb {
	case "EXPLAIN":
		p.Kind, p.Leat = KindLeatExplain, LeatCommand{Name: "explain", Value: rest}
	case "SHOW":
		p.Kind, p.Leat = KindLeatShow, LeatCommand{Name: strings.ToLower(strings.Join(strings.Fields(rest), " "))}
	default: // the server's syntax error says it best
		unknown(nil, p)
		p.Pin = ""
	}
	return p
}

// setLeatValue takes the value of SET leat.x = value from the literal or word behind the =.
func (p *Plan) setLeatValue(toks stmt, literals []Literal) {
	last := toks[len(toks)-1]
	p.Leat.Value = last.name()
	if last.lit >= 0 && last.lit < len(literals) {
		p.Leat.Value = unquote(literals[last.lit].Raw)
	}
	if toks.word(0) == "RESET" {
		p.Leat.Value = "DEFAULT"
	}
	p.Rule = "a setting of Leat"
}

// unquote is a string literal without its quotes. Escapes stay: no setting of Leat needs one.
func unquote(raw []byte) string {
	if len(raw) > 1 && (raw[0] == '\'' || raw[0] == '"') {
		raw = raw[1 : len(raw)-1]
	}
	return string(raw)
}
