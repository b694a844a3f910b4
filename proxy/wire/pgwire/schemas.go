package pgwire

// schemas.go: where a session's unqualified names are looked up.

import (
	"strings"

	"leat/proxy/wire"
)

// Schemas implements wire.Acceptor: the setting search_path, with $user as the role that the session is in. Nil
// means that it isn't known, or can't be read.
func (*Acceptor) Schemas(state, defaults *wire.State, user string) []string {
	path, ok := state.Get("search_path")
	if !ok && defaults != nil {
		path, ok = defaults.Get("search_path")
	}
	if !ok {
		return nil
	}
	if role, set := state.Get("role"); set && role != "none" {
		user = role
	}
	names, ok := splitNames(path)
	if !ok {
		return nil
	}
	for i, name := range names {
		if name == "$user" {
			names[i] = user
		}
	}
	return names
}

// maxSchemas bounds the schemas of a search path that are looked at.
const maxSchemas = 64

// splitNames reads a list of names as PostgreSQL spells one in a setting: a, "B c", "x""y".
func splitNames(list string) (names []string, ok bool) {
	rest := strings.TrimSpace(list)
	for rest != "" {
		var name string
		if rest[0] == '"' {
			if name, rest, ok = quotedName(rest[1:]); !ok {
				return nil, false
			}
		} else {
			end := strings.IndexByte(rest, ',')
			if end < 0 {
				end = len(rest)
			}
			name, rest = lower(strings.TrimSpace(rest[:end])), rest[end:]
		}
		if names = append(names, name); len(names) > maxSchemas {
			return nil, false
		}
		rest = strings.TrimSpace(rest)
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return nil, false
		}
		rest = strings.TrimSpace(rest[1:])
	}
	return names, true
}

// quotedName reads a name up to its closing quote.
func quotedName(s string) (name, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", "", false
}
