// Command testsum reads "go test -json" and shows what plain "go test" would, then one line that counts the
// tests. It exits with 1 if any failed.
//
//	go test -json ./... | go run ./scripts/testsum
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is a line of go test -json; see "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string // empty: the event is the package's
	Output  string
}

func main() {
	s := newSummary(os.Stdout)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			s.read(line)
		}
		if err != nil {
			break
		}
	}
	if !s.close() {
		os.Exit(1)
	}
}

// summary counts tests and keeps the output of those that are running.
type summary struct {
	out                     io.Writer
	output                  map[string][]string // by package and test
	passed, failed, skipped int
	broken                  []string // packages that failed without a failed test
	failedIn                map[string]bool
	notTested               []string
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: map[string][]string{}, failedIn: map[string]bool{}}
}

func (s *summary) read(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(s.out, line) // of the go command itself
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		if e.Test == "" {
			s.packageOutput(e.Output)
			return
		}
		s.output[key] = append(s.output[key], e.Output)
		if strings.Contains(e.Output, "NOT TESTED") {
			s.notTested = append(s.notTested, strings.TrimSpace(e.Output))
		}
	case "pass", "fail", "skip":
		s.end(&e, key)
		delete(s.output, key)
	}
}

// packageOutput shows the closing line of a package, and what no test wrote. A lone PASS says nothing.
func (s *summary) packageOutput(text string) {
	if text != "PASS\n" && !strings.Contains(text, "[no test files]") {
		fmt.Fprint(s.out, text)
	}
}

func (s *summary) end(e *event, key string) {
	if e.Test == "" {
		if e.Action == "fail" && !s.failedIn[e.Package] {
			s.broken = append(s.broken, e.Package)
		}
		return
	}
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
	case "fail":
		s.failed++
		s.failedIn[e.Package] = true
		for _, text := range s.output[key] {
			if !strings.HasPrefix(text, "=== ") {
				fmt.Fprint(s.out, text)
			}
		}
	}
}

// close shows the counts, and reports whether all is well.
func (s *summary) close() bool {
	for _, line := range s.notTested {
		fmt.Fprintln(s.out, "***", line)
	}
	for _, p := range s.broken {
		fmt.Fprintln(s.out, "FAILED without a failed test (build, panic or time-out):", p)
	}
	s.failed += len(s.broken)
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return s.failed == 0 && s.passed > 0
}
