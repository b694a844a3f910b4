package pgwire

// options.go: the settings that a client asks for in its startup message, by name or as a server's command line.

import (
	"strings"

	"leat/proxy/wire"
)

// maxSettings bounds the settings of one startup message.
const maxSettings = 500

// splitOptions takes a command line apart as PostgreSQL does: at white space that no backslash stands before.
func splitOptions(s string) (args []string) {
	var arg []byte
	inside, escaped := false, false
	for i := range len(s) {
		c := s[i]
		switch {
		case !escaped && isSpace(c):
			if inside {
				args, arg = append(args, string(arg)), arg[:0]
			}
			inside = false
			continue
		case !escaped && c == '\\':
			escaped = true
		default:
			arg, escaped = append(arg, c), false
		}
		inside = true
	}
	if inside {
		args = append(args, string(arg))
	}
	return args
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// parseOptions reads the settings of a server's command line: "-c name=value", with or without the space, and
// "--name=value", where a '-' in the name means '_'. Switches that are letters of their own are refused.
func parseOptions(s string) (settings []wire.Var, err error) {
	args := splitOptions(s)
	for i := 0; i < len(args); i++ {
		arg, setting := args[i], ""
		switch {
		case strings.HasPrefix(arg, "--") && len(arg) > 2:
			setting = arg[2:]
		case strings.HasPrefix(arg, "-c") && len(arg) > 2:
			setting = arg[2:]
		case arg == "-c" && i+1 < len(args):
			i++
			setting = args[i]
		case len(arg) == 2 && arg[0] == '-' && arg[1] != 'c' && arg[1] != '-':
			return nil, refusal("0A000", "of the options in the startup message Leat takes -c name=value and --name=value only")
		default:
			return nil, refusal("42601", "invalid command-line argument for server process: write -c name=value")
		}
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return nil, refusal("42601", "a setting in the options of the startup message has no value")
		}
		if name == "" {
			return nil, refusal("42704", `unrecognized configuration parameter ""`)
		}
		if len(settings) == maxSettings {
			return nil, errTooManySettings
		}
		settings = append(settings, wire.Var{Name: strings.ReplaceAll(lower(name), "-", "_"), Value: value})
	}
	return settings, nil
}

var errTooManySettings = refusal("54000", "too many settings in the startup message")

// refusal is an error of a log-in by PostgreSQL's own SQLSTATE.
func refusal(state, message string) *wire.ServerError {
	return &wire.ServerError{SQLState: state, Message: message}
}

// lower spells a setting's name as State has it. PostgreSQL folds ASCII letters alone.
func lower(name string) string {
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			b := []byte(name)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return name
}

// startup is what a client's startup message says.
type startup struct {
	version      uint32 // as the client asks for it
	user         string
	database     string // the user's name if the client names none
	settings     []wire.Var
	unrecognized []string // protocol extensions that Leat doesn't have
}

// parseStartup reads a startup message of protocol 3. The version is set whenever the message is long enough.
func parseStartup(p []byte) (s startup, err error) {
	r := fieldReader{p: p}
	s.version = r.uint32()
	options := ""
	for len(r.p) > 0 && r.p[0] != 0 {
		name, value := string(r.nul()), string(r.nul())
		if r.bad {
			break
		}
		switch {
		case name == "user":
			s.user = value
		case name == "database":
			s.database = value
		case name == "options":
			options = value
		case name == "replication":
			if on, ok := parseBool(value); on || !ok {
				return s, refusal("0A000", "Leat does not pass on replication connections: connect to the server itself")
			}
		case strings.HasPrefix(name, "_pq_."):
			s.unrecognized = append(s.unrecognized, name)
		case len(s.settings) == maxSettings:
			return s, errTooManySettings
		default:
			s.settings = append(s.settings, wire.Var{Name: lower(name), Value: value})
		}
	}
	if r.take(1) == nil || !r.done() {
		return s, refusal("08P01", "invalid startup packet layout: expected terminator as last byte")
	}
	if s.user == "" {
		return s, refusal("28000", "no PostgreSQL user name specified in startup packet")
	}
	if s.database == "" {
		s.database = s.user
	}
	byOptions, err := parseOptions(options)
	s.settings = append(byOptions, s.settings...) // what is named by itself wins
	return s, err
}
