package e2e

// Scripts: commands that are run over a direct connection and through Leat, one a line:
//
//	# a comment
//	flags: deprecate_eof session_track        which capabilities; default: every set of flagSets in turn
//	only: mysql                               or mariadb
//	collation: 8                              of the login; default: utf8mb4's default
//	query SELECT 1                            by client 1
//	2: query SELECT 1                         by client 2, who logs in when first named
//	2: ~query SELECT CONNECTION_ID()          only the shape of the reply is compared
//	prepare s SELECT ?, ?                     s names the statement in this client
//	execute s 42 'text' NULL 1.5              arguments as in SQL; @long was sent by long
//	again s 43 'x' NULL 1.5                   execute without types
//	cursor s 1 2 NULL 3                       execute with a cursor
//	fetch s 2 | reset s | close s | long s 0 text
//	use db | fields table | option 0 | ping | statistics | reset-connection | raw 03ff00
//	change-user app app-secret db | quit
//
// \n in a line is a newline.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// script is a list of commands, with where they apply.
type script struct {
	flags     []string // nil: every set
	only      localdb.Flavor
	collation byte // 0: the default
	lines     []string
}

// capabilities by their name in a script.
var capabilities = map[string]uint32{
	"deprecate_eof": rawmysql.DeprecateEOF, "session_track": rawmysql.SessionTrack,
	"multi_statements": rawmysql.MultiStatements, "found_rows": rawmysql.FoundRows,
	"local_files": rawmysql.LocalFiles, "ignore_space": rawmysql.IgnoreSpace,
}

// replyTimeout bounds one reply: one that takes longer is missing.
const replyTimeout = 15 * time.Second

// always are asked for by every client.
const always = rawmysql.MultiResults | rawmysql.PSMultiResults

// flagSets are those that a script runs with when it names none.
var flagSets = [][]string{{"multi_statements"}, {"deprecate_eof", "session_track", "multi_statements"}}

func parseScript(text string) (*script, error) {
	s := &script{}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "flags:"):
			s.flags = strings.Fields(line[len("flags:"):])
			for _, name := range s.flags {
				if capabilities[name] == 0 {
					return nil, fmt.Errorf("unknown flag %q", name)
				}
			}
		case strings.HasPrefix(line, "only:"):
			s.only = localdb.Flavor(strings.TrimSpace(line[len("only:"):]))
		case strings.HasPrefix(line, "collation:"):
			n, err := strconv.ParseUint(strings.TrimSpace(line[len("collation:"):]), 10, 8)
			if err != nil {
				return nil, err
			}
			s.collation = byte(n)
		default:
			s.lines = append(s.lines, line)
		}
	}
	return s, nil
}

// flagSets are the sets of capabilities to run the script with.
func (s *script) flagSets() [][]string {
	if s.flags != nil {
		return [][]string{s.flags}
	}
	return flagSets
}

// result is what one line led to, with what two runs may differ in masked.
type result struct {
	line  string
	shape string
	lines []string // one per frame
}

func (r *result) String() string {
	if len(r.lines) == 0 {
		return r.shape
	}
	return r.shape + "\n      " + strings.Join(r.lines, "\n      ")
}

// runner runs one script against one address.
type runner struct {
	address   string
	flags     uint32
	collation byte
	clients   map[int]*client
}

type client struct {
	conn       *rawmysql.Conn
	statements map[string]uint32
}

// runScript returns a result per line. A line whose connection failed has the error as its result, and
// that client's later lines too.
func runScript(ctx context.Context, address string, s *script) ([]result, error) {
	r := &runner{address: address, flags: always, collation: s.collation, clients: map[int]*client{}}
	for _, name := range s.flags {
		r.flags |= capabilities[name]
	}
	defer r.close()
	results := make([]result, 0, len(s.lines))
	for _, line := range s.lines {
		res, err := r.run(ctx, line)
		if err != nil {
			return nil, fmt.Errorf("script line %q: %w", line, err)
		}
		res.line = line
		results = append(results, res)
	}
	return results, nil
}

func (r *runner) close() {
	for _, c := range r.clients {
		if c.conn != nil {
			c.conn.Close()
		}
	}
}

// run runs a line. The error is about the script.
func (r *runner) run(ctx context.Context, line string) (result, error) {
	number := 1
	if head, rest, ok := strings.Cut(line, ": "); ok {
		if n, err := strconv.Atoi(head); err == nil {
			number, line = n, rest
		}
	}
	shapeOnly := strings.HasPrefix(line, "~")
	line = strings.ReplaceAll(strings.TrimPrefix(line, "~"), `\n`, "\n")
	c, res := r.client(ctx, number)
	if c.conn == nil {
		return res, nil
	}
	word, rest, _ := strings.Cut(line, " ")
	if word == "quit" {
		c.conn.Close()
		c.conn = nil
		return result{shape: "quit"}, nil
	}
	if word == "change-user" {
		return changeUser(c, rest)
	}
	payload, name, err := c.payload(word, rest)
	if err != nil {
		return result{}, err
	}
	reply, err := c.conn.Do(payload)
	if err != nil {
		c.conn.Abort()
		c.conn = nil
		if reply == nil {
			reply = &rawmysql.Reply{} // the command couldn't even be sent
		}
		res := toResult(reply, r.flags, shapeOnly)
		res.shape = "connection lost: " + lost(err) + " after " + res.shape
		return res, nil
	}
	if id, _, ok := reply.StatementID(); ok {
		c.statements[name] = id
	}
	return toResult(reply, c.conn.Flags, shapeOnly), nil
}

// noReply is of a connection that stands but is silent.
const noReply = "no reply in time"

// lost names what became of a connection, without addresses. Whether a close shows as an end or as a
// reset is chance.
func lost(err error) string {
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		return noReply
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return err.Error()
}

// client returns a client, logged in. When it can't log in, its result says why.
func (r *runner) client(ctx context.Context, number int) (*client, result) {
	if c := r.clients[number]; c != nil {
		return c, result{shape: "no connection"}
	}
	c := &client{statements: map[string]uint32{}}
	r.clients[number] = c
	conn, err := rawmysql.Dial(ctx, r.address, rawmysql.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: diffDatabase,
		Flags: r.flags, Collation: r.collation, File: []byte("101\n102\n"), Timeout: replyTimeout,
	})
	if err != nil {
		return c, result{shape: "can't log in: " + err.Error()}
	}
	c.conn = conn
	if lacking := r.flags &^ conn.Flags; lacking != 0 {
		return c, result{shape: fmt.Sprintf("capabilities lacking: %x", lacking)}
	}
	return c, result{}
}

// payload makes a command's packet. Name is the statement's, for prepare.
func (c *client) payload(word, rest string) (payload []byte, name string, err error) {
	switch word {
	case "query":
		return append([]byte{rawmysql.ComQuery}, rest...), "", nil
	case "use":
		return append([]byte{rawmysql.ComInitDB}, rest...), "", nil
	case "fields":
		return append(append([]byte{rawmysql.ComFieldList}, rest...), 0), "", nil
	case "ping":
		return []byte{rawmysql.ComPing}, "", nil
	case "statistics":
		return []byte{rawmysql.ComStatistics}, "", nil
	case "reset-connection":
		return []byte{rawmysql.ComResetConnection}, "", nil
	case "option":
		n, err := strconv.Atoi(rest)
		return []byte{rawmysql.ComSetOption, byte(n), 0}, "", err
	case "raw":
		payload, err := hex.DecodeString(rest)
		if err == nil && len(payload) == 0 {
			err = errors.New("nothing to send")
		}
		return payload, "", err
	}
	name, rest, _ = strings.Cut(rest, " ")
	payload, err = c.statementPayload(word, name, rest)
	return payload, name, err
}

// statementPayload makes the packet of a command on a named statement. A name that isn't known (its
// prepare failed) stands for an id that no server has.
func (c *client) statementPayload(word, name, rest string) ([]byte, error) {
	id, ok := c.statements[name]
	if !ok {
		id = 999999
	}
	switch word {
	case "prepare":
		return rawmysql.PreparePayload(rest), nil
	case "close":
		return rawmysql.ClosePayload(id), nil
	case "reset":
		return rawmysql.ResetPayload(id), nil
	case "fetch":
		n, err := strconv.ParseUint(rest, 10, 32)
		return rawmysql.FetchPayload(id, uint32(n)), err
	case "long":
		param, data, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(param, 10, 16)
		return rawmysql.LongDataPayload(id, uint16(n), []byte(data)), err
	}
	args, err := parseArgs(rest)
	if err != nil {
		return nil, err
	}
	switch word {
	case "execute":
		return rawmysql.ExecutePayload(id, rawmysql.NoCursor, args...)
	case "again":
		return rawmysql.ReExecutePayload(id, rawmysql.NoCursor, args...)
	case "cursor":
		return rawmysql.ExecutePayload(id, rawmysql.ReadOnlyCursor, args...)
	}
	return nil, fmt.Errorf("unknown command %q", word)
}

// parseArgs reads arguments: NULL, @long, 'text' (without quotes in it), numbers.
func parseArgs(text string) ([]any, error) {
	var args []any
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] == '\'' {
			end := strings.IndexByte(text[1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("no closing quote in %s", text)
			}
			args, text = append(args, text[1:1+end]), text[end+2:]
			continue
		}
		word, rest, _ := strings.Cut(text, " ")
		text = rest
		switch n, err := strconv.Atoi(word); {
		case word == "NULL":
			args = append(args, nil)
		case word == "@long":
			args = append(args, rawmysql.LongData{})
		case err == nil:
			args = append(args, n)
		default:
			f, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return nil, err
			}
			args = append(args, f)
		}
	}
	return args, nil
}

// changeUser logs in anew: user, password, database.
func changeUser(c *client, rest string) (result, error) {
	words := strings.Fields(rest + " - - -")
	for i := range words {
		if words[i] == "-" {
			words[i] = ""
		}
	}
	if err := c.conn.ChangeUser(words[0], words[1], words[2]); err != nil {
		c.conn.Abort()
		c.conn = nil
		return result{shape: "change user: " + err.Error()}, nil
	}
	return result{shape: "changed user"}, nil
}
