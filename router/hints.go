package router

import (
	"bytes"
	"strings"
)

// This file reads the leading comment by which an application talks to Leat:
// /* leat: consistency=eventual, class=batch */. docs/config.md lists what there is.

var leadHintWord = []byte("leat:")

// isLeadHint reports whether the inside of a comment is meant for Leat.
func isLeadHint(inside []byte) bool {
	b := bytes.TrimSpace(inside)
	return len(b) >= len(leadHintWord) && bytes.EqualFold(b[:len(leadHintWord)], leadHintWord)
}

// appendLeadHint appends the comment in its normalised form, which is a part of the statement's text:
// the same statement with another hint has another plan.
func appendLeadHint(out, inside []byte) []byte {
	b := bytes.TrimSpace(inside)
	b = bytes.TrimSpace(b[len(leadHintWord):])
	if len(b) > maxLeadHint {
		b = b[:maxLeadHint+1] // long enough to be refused
	}
	out = append(out, "/* leat: "...)
	out = append(out, b...)
	return append(out, " */ "...)
}

// cutLeadHint splits a normalised text into its leading hint and the statement.
func cutLeadHint(text string) (hint, rest string) {
	inside, ok := strings.CutPrefix(text, "/* leat: ")
	if !ok {
		return "", text
	}
	hint, rest, _ = strings.Cut(inside, " */ ")
	return hint, rest
}

// parseHints reads the inside of a leading hint.
func parseHints(text string) Hints {
	var h Hints
	if len(text) > maxLeadHint {
		h.Err = "the leat comment is too long"
		return h
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.ToLower(strings.TrimSpace(value))
		if msg := h.set(name, value); msg != "" && h.Err == "" {
			h.Err = msg
		}
	}
	return h
}

// set sets one hint and says what is wrong with it, if anything.
func (h *Hints) set(name, value string) string {
	field, allowed := &h.Consistency, []string{"eventual", "session"}
	switch name {
	case "consistency":
	case "class":
		field, allowed = &h.Class, []string{"online", "batch"}
	case "role":
		field, allowed = &h.Role, []string{"primary", "replica"}
	default:
		return "the leat comment takes consistency=eventual|session, class=online|batch and role=primary|replica"
	}
	for _, a := range allowed {
		if value == a {
			*field = value
			return ""
		}
	}
	return "the leat comment's " + name + " must be " + strings.Join(allowed, " or ")
}
