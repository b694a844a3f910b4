// How answers are printed.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// grid is a table without lines, numbers to the right.
type grid struct {
	out  io.Writer
	w    table.Writer
	rows int
}

func (o *options) table(heads ...any) *grid {
	w := table.NewWriter()
	w.SetStyle(table.StyleDefault)
	w.Style().Options = table.OptionsNoBordersAndSeparators
	w.Style().Format.Header = text.FormatUpper
	w.Style().Box.PaddingLeft = ""
	w.Style().Box.PaddingRight = "  "
	w.AppendHeader(heads)
	return &grid{out: o.out, w: w}
}

func (g *grid) row(cells ...any) {
	for i, c := range cells {
		if s, ok := c.(string); ok {
			cells[i] = printable(s)
		}
	}
	g.rows++
	g.w.AppendRow(cells)
}

// print prints the table, or says that there is nothing in it.
func (g *grid) print(empty string) {
	if g.rows == 0 {
		fmt.Fprintln(g.out, empty)
		return
	}
	for _, line := range strings.Split(g.w.Render(), "\n") {
		fmt.Fprintln(g.out, strings.TrimRight(line, " "))
	}
}

// printable keeps what a client sent from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

func (o *options) printJSON(v any) error {
	e := json.NewEncoder(o.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// seconds prints a time span with three digits that count.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func percent(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func compare(a, b float64) int { return cmp.Compare(a, b) }

// shorten keeps a statement on one line of the table.
func shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
