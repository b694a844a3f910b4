package e2e

// Comparing two runs of a script, and cutting a script down to the lines that make the difference.

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// diffDatabase is made anew for each run.
const diffDatabase = "leat_diff"

// defaultCollation is that of utf8mb4: what SET NAMES utf8mb4 gives.
var defaultCollation = map[localdb.Flavor]byte{localdb.MySQL: 255, localdb.MariaDB: 45}

// statementNumber is the id that errors about statements carry.
var statementNumber = regexp.MustCompile(`(handler|statement) \(\d+\)`)

// toResult turns a reply into what is compared.
func toResult(reply *rawmysql.Reply, flags uint32, shapeOnly bool) result {
	res := result{shape: reply.Shape()}
	if shapeOnly {
		return res
	}
	for _, f := range reply.Masked(flags).Frames {
		payload := f.Payload
		switch f.Kind {
		case rawmysql.KindError:
			payload = statementNumber.ReplaceAll(payload, []byte("$1 (ID)"))
		case rawmysql.KindText:
			payload = nil // COM_STATISTICS: counts
		}
		res.lines = append(res.lines, fmt.Sprintf("%3d %c %q", f.Seq, f.Kind, shorten(payload)))
	}
	return res
}

// shorten keeps long payloads comparable and a report readable.
func shorten(p []byte) []byte {
	const keep = 2000
	if len(p) <= keep {
		return p
	}
	sum := uint64(14695981039346656037) // FNV-1a
	for _, b := range p {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return fmt.Appendf(p[:keep:keep], "... %d bytes, hash %x", len(p), sum)
}

// differ runs scripts both ways.
type differ struct {
	top   *localdb.Topology
	leat  *leat
	setup string // SQL that fills the database
}

// errDifferent is the result of a script that ended differently.
type errDifferent struct{ report string }

func (e *errDifferent) Error() string { return e.report }

// maxReported bounds the lines of a report.
const maxReported = 12

// compare runs lines both ways, each on a new database. The error is an *errDifferent for a difference.
func (d *differ) compare(ctx context.Context, flags, lines []string) error {
	return d.compareScript(ctx, &script{flags: flags, lines: lines})
}

// compareScript is compare for a script with more to say; only is left to the caller.
func (d *differ) compareScript(ctx context.Context, s *script) error {
	want, err := d.runOn(ctx, d.top.Primary().Addr(), s)
	if err != nil {
		return fmt.Errorf("direct: %w", err)
	}
	got, err := d.runOn(ctx, d.leat.Addr, s)
	if err != nil {
		return fmt.Errorf("through Leat: %w", err)
	}
	var report strings.Builder
	count := 0
	for i := range want {
		if want[i].String() == got[i].String() {
			continue
		}
		if count++; count <= maxReported {
			fmt.Fprintf(&report, "  line %d: %s\n%s", i+1, want[i].line, firstDifference(&want[i], &got[i]))
		}
	}
	if count == 0 {
		return nil
	}
	return &errDifferent{fmt.Sprintf("%d of %d lines differ (flags: %s):\n%s", count, len(s.lines), strings.Join(s.flags, " "), &report)}
}

// firstDifference shows two replies' shapes and the first frame that differs.
func firstDifference(want, got *result) string {
	report := fmt.Sprintf("    direct: %s\n    leat:   %s\n", want.shape, got.shape)
	for i := range max(len(want.lines), len(got.lines)) {
		a, b := "nothing", "nothing"
		if i < len(want.lines) {
			a = want.lines[i]
		}
		if i < len(got.lines) {
			b = got.lines[i]
		}
		if a != b {
			return report + fmt.Sprintf("    frame %d direct: %s\n    frame %d leat:   %s\n", i+1, a, i+1, b)
		}
	}
	return report
}

func (d *differ) runOn(ctx context.Context, address string, s *script) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	run := *s
	if run.collation == 0 {
		run.collation = defaultCollation[d.top.Flavor]
	}
	fresh := fmt.Sprintf("DROP DATABASE IF EXISTS %[1]s; CREATE DATABASE %[1]s CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci; USE %[1]s; ", diffDatabase)
	if err := d.top.Primary().Exec(ctx, fresh+d.setup); err != nil {
		return nil, fmt.Errorf("set up the database: %w", err)
	}
	if err := d.top.WaitSynced(ctx); err != nil {
		return nil, err
	}
	return runScript(ctx, address, &run)
}

// prepared leaves out what uses a statement that no line before prepares.
func prepared(lines []string) []string {
	known := map[string]bool{}
	return slices.DeleteFunc(lines, func(line string) bool {
		client, command, _ := strings.Cut(line, ": ")
		words := strings.Fields(command)
		if len(words) < 2 {
			return false
		}
		switch name := client + " " + words[1]; words[0] {
		case "prepare":
			known[name] = true
		case "execute", "close", "reset":
			return !known[name]
		}
		return false
	})
}

// shrink cuts a differing script down, by leaving out ever smaller runs of lines as long as a difference
// remains. It stops after tries runs.
func (d *differ) shrink(ctx context.Context, s *script, tries int) *script {
	for size := len(s.lines) / 2; size > 0 && tries > 0; {
		cut := false
		for at := 0; at < len(s.lines) && tries > 0; {
			shorter := *s
			shorter.lines = prepared(slices.Concat(s.lines[:at], s.lines[min(at+size, len(s.lines)):]))
			tries--
			var different *errDifferent
			if errors.As(d.compareScript(ctx, &shorter), &different) {
				s, cut = &shorter, true
				continue
			}
			at += size
		}
		if !cut || size > 1 {
			size /= 2
		}
	}
	return s
}
