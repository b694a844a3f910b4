package e2e

// Scripts of PostgreSQL messages, run over a direct connection and through Leat. One line is what one client sends in
// one write, and reads the replies to:
//
//	# a comment
//	only: postgres18                          or postgres
//	params: search_path=s work_mem=1MB        startup parameters of all clients (no spaces in a value)
//	minor: 2                                  protocol 3.2
//	simple SELECT 1                           by client 1
//	2: simple SELECT 1                        by client 2, who logs in when first named
//	2: ~simple SELECT pg_backend_pid()        only the shape of the reply is compared
//	parse s SELECT $1 | describe statement s | sync
//	parse s(23,25) SELECT $1, $2              parameter OIDs; the name - is the unnamed statement or portal
//	bind s 42 'text' NULL \x00000001          arguments as in SQL; \x.. is binary
//	bind s:b 42                               results in binary; one letter (t, b) per column, or one for all
//	bind s>p 42                               the portal's name is p
//	describe portal p | execute p 2           of which 2 rows; default: all
//	close statement s | close portal p | sync | flush
//	simple COPY t FROM STDIN | copydata 1\t2\n | copydone | copyfail why
//	function 1396 -5 | raw 51 00              the kind's byte in hex and the payload
//	2: &simple LOCK t | 2: read               sent without reading; read does that
//	quit | abort                              with and without a goodbye
//
// Replies are read up to one ReadyForQuery for each simple, function, raw and sync of the line, unless it says otherwise:
//
//	parse s SELECT 1 | flush | until 1E       up to the first message of these kinds
//	copydone | ready 1                        up to one ReadyForQuery
//
// \n, \t and \\ are as in Go. Commands are divided by " | ".

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

// pgScript is a list of lines, with where they apply.
type pgScript struct {
	only   localdb.Flavor
	params []string
	minor  uint16
	lines  []string
}

func parsePgScript(text string) (*pgScript, error) {
	s := &pgScript{}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch head, rest, _ := strings.Cut(line, ": "); {
		case line == "" || strings.HasPrefix(line, "#"):
		case head == "only":
			s.only = localdb.Flavor(rest)
		case head == "params":
			s.params = strings.Fields(rest)
		case head == "minor":
			n, err := strconv.ParseUint(rest, 10, 16)
			if err != nil {
				return nil, err
			}
			s.minor = uint16(n)
		default:
			s.lines = append(s.lines, line)
		}
	}
	return s, nil
}

// pgRunner runs one script against one address.
type pgRunner struct {
	address string
	script  *pgScript
	clients map[int]*pgClient
	last    int // the client of the line before
	// turn is called when it is another client's turn.
	turn func(context.Context) error
}

type pgClient struct {
	conn  *rawpostgres.Conn
	owing pgRequest // sent, and its reply not read
}

// runPgScript returns a result per line. A line whose connection failed has the error as its result, and
// that client's later lines too.
func runPgScript(ctx context.Context, address string, s *pgScript, turn func(context.Context) error) ([]result, error) {
	r := &pgRunner{address: address, script: s, clients: map[int]*pgClient{}, turn: turn}
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

func (r *pgRunner) close() {
	for _, c := range r.clients {
		if c.conn != nil {
			c.conn.Close()
		}
	}
}

// run runs a line. The error is about the script.
func (r *pgRunner) run(ctx context.Context, line string) (result, error) {
	number := 1
	if head, rest, ok := strings.Cut(line, ": "); ok {
		if n, err := strconv.Atoi(head); err == nil {
			number, line = n, rest
		}
	}
	if number != r.last {
		r.last = number
		if err := r.turn(ctx); err != nil {
			return result{}, err
		}
	}
	line, shapeOnly := strings.CutPrefix(line, "~")
	line, later := strings.CutPrefix(line, "&")
	c, res := r.client(ctx, number)
	if c.conn == nil {
		return res, nil
	}
	request := c.owing
	switch line {
	case "quit", "abort":
		c.leave(line)
		return result{shape: line}, nil
	case "read":
		if later {
			return result{}, errors.New("nothing to send")
		}
	default:
		var err error
		if request, err = parsePgLine(line); err != nil {
			return result{}, err
		}
		if err := c.conn.Send(request.messages...); err != nil {
			return c.lost(&rawpostgres.Reply{}, err, shapeOnly), nil
		}
		if later {
			c.owing = request
			return result{shape: "sent"}, nil
		}
	}
	c.owing = pgRequest{}
	return c.read(request, shapeOnly), nil
}

// read reads the reply to a request.
func (c *pgClient) read(request pgRequest, shapeOnly bool) result {
	var reply *rawpostgres.Reply
	var err error
	if request.until != "" {
		reply, err = c.conn.ReadUntil(request.until)
	} else {
		reply, err = c.conn.ReadReply(request.ready)
	}
	if err != nil {
		return c.lost(reply, err, shapeOnly)
	}
	return pgResult(reply, shapeOnly)
}

func (c *pgClient) leave(how string) {
	if how == "quit" {
		c.conn.Close()
	} else {
		c.conn.Abort()
	}
	c.conn = nil
}

// lost is the result of a connection that failed.
func (c *pgClient) lost(reply *rawpostgres.Reply, err error, shapeOnly bool) result {
	c.leave("abort")
	res := pgResult(reply, shapeOnly)
	res.shape = "connection lost: " + lost(err) + " after " + res.shape
	return res
}

// pgResult turns a reply into what is compared.
func pgResult(reply *rawpostgres.Reply, shapeOnly bool) result {
	res := result{shape: reply.Shape()}
	if shapeOnly {
		return res
	}
	for _, m := range reply.Masked().Messages {
		res.lines = append(res.lines, fmt.Sprintf("%c %q", m.Kind, shorten(m.Payload)))
	}
	return res
}

// client returns a client, logged in. When it can't log in, its result says why.
func (r *pgRunner) client(ctx context.Context, number int) (*pgClient, result) {
	if c := r.clients[number]; c != nil {
		return c, result{shape: "no connection"}
	}
	c := &pgClient{}
	r.clients[number] = c
	conn, err := rawpostgres.Dial(ctx, r.address, rawpostgres.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: localdb.AppDatabase,
		Params: r.script.params, Minor: r.script.minor, Timeout: replyTimeout,
	})
	if err != nil {
		return c, result{shape: "can't log in: " + err.Error()}
	}
	c.conn = conn
	return c, result{}
}

// pgRequest is what a line sends, and where its reply ends.
type pgRequest struct {
	messages [][]byte
	ready    int    // ReadyForQuery messages
	until    string // kinds, instead
}

func parsePgLine(line string) (pgRequest, error) {
	var request pgRequest
	for _, command := range strings.Split(line, " | ") {
		word, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
		switch word {
		case "until":
			request.until = rest
			continue
		case "ready":
			n, err := strconv.Atoi(rest)
			if err != nil {
				return request, err
			}
			request.ready = n
			continue
		case "simple", "function", "sync", "raw":
			request.ready++
		}
		message, err := pgMessage(word, rest)
		if err != nil {
			return request, err
		}
		request.messages = append(request.messages, message)
	}
	return request, nil
}

var pgUnescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t")

// pgName is a name in a script: - is the empty one.
func pgName(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func pgMessage(word, rest string) ([]byte, error) {
	switch word {
	case "simple":
		return rawpostgres.Query(pgUnescape.Replace(rest)), nil
	case "parse":
		return pgParse(rest)
	case "bind":
		return pgBind(rest)
	case "describe", "close":
		what, name, _ := strings.Cut(rest, " ")
		kind := map[string]byte{"statement": 'S', "portal": 'P'}[what]
		if kind == 0 {
			return nil, fmt.Errorf("%s what?", word)
		}
		if word == "close" {
			return rawpostgres.CloseObject(kind, pgName(name)), nil
		}
		return rawpostgres.Describe(kind, pgName(name)), nil
	case "execute":
		name, rows, _ := strings.Cut(rest, " ")
		if rows == "" {
			return rawpostgres.Execute(pgName(name), 0), nil
		}
		n, err := strconv.ParseUint(rows, 10, 32)
		return rawpostgres.Execute(pgName(name), uint32(n)), err
	case "sync":
		return rawpostgres.Sync(), nil
	case "flush":
		return rawpostgres.Flush(), nil
	case "copydata":
		return rawpostgres.CopyData([]byte(pgUnescape.Replace(rest))), nil
	case "copydone":
		return rawpostgres.CopyDone(), nil
	case "copyfail":
		return rawpostgres.CopyFail(rest), nil
	case "function":
		number, rest, _ := strings.Cut(rest, " ")
		oid, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, err
		}
		args, err := pgArgs(rest)
		return rawpostgres.FunctionCall(uint32(oid), args, 0), err
	case "raw":
		b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		if err != nil || len(b) == 0 {
			return nil, fmt.Errorf("no bytes: %q", rest)
		}
		return rawpostgres.NewMessage(b[0], b[1:]), nil
	}
	return nil, fmt.Errorf("unknown command %q", word)
}

// pgParse reads "name SQL" or "name(oid,oid) SQL".
func pgParse(text string) ([]byte, error) {
	name, sql, _ := strings.Cut(text, " ")
	name, list, _ := strings.Cut(strings.TrimSuffix(name, ")"), "(")
	var types []uint32
	for word := range strings.SplitSeq(list, ",") {
		if word == "" {
			continue
		}
		oid, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return nil, err
		}
		types = append(types, uint32(oid))
	}
	return rawpostgres.Parse(pgName(name), pgUnescape.Replace(sql), types...), nil
}

// pgBind reads "statement[:formats][>portal] arguments".
func pgBind(text string) ([]byte, error) {
	head, rest, _ := strings.Cut(text, " ")
	head, portal, _ := strings.Cut(head, ">")
	statement, letters, _ := strings.Cut(head, ":")
	var formats []int16
	for _, letter := range letters {
		formats = append(formats, map[rune]int16{'t': 0, 'b': 1}[letter])
	}
	args, err := pgArgs(rest)
	return rawpostgres.Bind(pgName(portal), pgName(statement), args, formats...), err
}

// pgArgs reads arguments: NULL, 'text' (without quotes in it), \x and hex, and words.
func pgArgs(text string) ([]rawpostgres.Arg, error) {
	var args []rawpostgres.Arg
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] == '\'' {
			end := strings.IndexByte(text[1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("no closing quote in %s", text)
			}
			args, text = append(args, rawpostgres.Arg{Value: []byte(text[1 : 1+end])}), text[end+2:]
			continue
		}
		word, rest, _ := strings.Cut(text, " ")
		text = rest
		arg := rawpostgres.Arg{Value: []byte(word)}
		if digits, ok := strings.CutPrefix(word, `\x`); ok {
			b, err := hex.DecodeString(digits)
			if err != nil {
				return nil, err
			}
			arg = rawpostgres.Arg{Value: b, Binary: true}
		}
		if word == "NULL" {
			arg.Value = nil
		}
		args = append(args, arg)
	}
	return args, nil
}
