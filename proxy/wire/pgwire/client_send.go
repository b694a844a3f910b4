package pgwire

// client_send.go: what Leat tells a client itself.

import (
	"encoding/binary"
	"strconv"

	"leat/proxy/wire"
)

// sendReady ends an answer.
func (c *Client) sendReady() {
	for _, v := range c.settings {
		c.out.Write(appendParameterStatus(c.scratch[:0], v.Name, v.Value))
	}
	c.settings = nil
	c.out.Write(appendReady(c.scratch[:0], c.status))
}

// fail answers with an error, which ends in ReadyForQuery, or in dropping what comes before the next Sync.
func (c *Client) fail(message []byte) {
	c.out.Write(c.held)
	c.out.Write(message)
	c.held = nil
	c.tellAfter()
	switch {
	case c.fatal:
	case c.ends:
		c.sendReady()
	default:
		c.skipping, c.unsynced = true, false
	}
}

// tellAfter sends what came behind an error that was held back.
func (c *Client) tellAfter() {
	c.out.Write(c.after)
	c.after = nil
}

// isFatalCode reports whether the connection ends behind an error of Leat's own.
func isFatalCode(code wire.Code) bool {
	switch code {
	case wire.CodeMalformed, wire.CodeShutdown, wire.CodeIdle, wire.CodeTxTimeout, wire.CodeConnKilled:
		return true
	}
	return false
}

// SendError implements wire.Client.
func (c *Client) SendError(e *wire.Error) {
	severity := severityError
	if c.fatal || isFatalCode(e.Code) {
		c.fatal, severity = true, severityFatal
	}
	c.fail(appendOwnError(nil, severity, e))
}

// SendGoodbye implements wire.Client.
func (c *Client) SendGoodbye(e *wire.Error) {
	c.fatal = true
	c.SendError(e)
}

// SendServerError implements wire.Client.
func (c *Client) SendServerError(e *wire.ServerError) {
	c.fatal = c.fatal || isFatal(e)
	c.fail(appendServerError(nil, e))
}

// SendOK implements wire.Client.
func (c *Client) SendOK(r *wire.Request, d wire.Done) {
	c.status, c.settings = d.Tx, d.Settings
	c.answer(r, nil, nil, d.Tag)
}

// SendRows implements wire.Client.
func (c *Client) SendRows(r *wire.Request, columns []string, rows [][]string) {
	c.answer(r, columns, rows, "SELECT "+strconv.Itoa(len(rows)))
}

// answer answers a request with a result: of a Run, each of its messages. Columns are nil if there are no rows.
func (c *Client) answer(r *wire.Request, columns []string, rows [][]string, tag string) {
	if r.Kind != wire.Run {
		if columns != nil {
			c.sendColumns(columns)
		}
		c.sendResult(rows, tag)
		c.sendReady()
		return
	}
	for i := range c.run.steps {
		switch s := &c.run.steps[i]; s.kind {
		case reqParse:
			c.send(repParseComplete, nil)
		case reqBind:
			c.send(repBindComplete, nil)
		case reqClose:
			c.send(repCloseComplete, nil)
		case reqDescribe:
			if s.target == targetStatement {
				c.send(repParameterDescription, noTypes)
			}
			if columns == nil {
				c.send(repNoData, nil)
			} else {
				c.sendColumns(columns)
			}
		case reqExecute:
			c.sendResult(rows, tag)
		case reqSync:
			c.sendReady()
		}
	}
	c.run.done = len(c.run.steps)
}

func (c *Client) send(kind byte, payload []byte) { c.out.message(kind, payload) }

// sendResult sends rows and the tag that ends them.
func (c *Client) sendResult(rows [][]string, tag string) {
	var p []byte
	for _, row := range rows {
		p = binary.BigEndian.AppendUint16(p[:0], uint16(len(row)))
		for _, v := range row {
			p = append(binary.BigEndian.AppendUint32(p, uint32(len(v))), v...)
		}
		c.send(repDataRow, p)
	}
	c.out.Write(appendCommandComplete(c.scratch[:0], tag))
}

// oidText is the type of columns of Leat's own.
const oidText = 25

// sendColumns describes columns that are texts: the same bytes in both formats.
func (c *Client) sendColumns(names []string) {
	p := binary.BigEndian.AppendUint16(nil, uint16(len(names)))
	for _, name := range names {
		p = appendNul(p, name)
		p = append(p, 0, 0, 0, 0, 0, 0) // of no table
		p = binary.BigEndian.AppendUint32(p, oidText)
		p = append(p, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0) // any length, no modifier, text
	}
	c.send(repRowDescription, p)
}
