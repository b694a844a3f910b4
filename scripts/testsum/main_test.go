package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	tests := []struct {
		name, in, want string
		ok             bool
	}{
		{"all pass", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  p 0.1s\n"}
{"Action":"pass","Package":"p"}
`, "ok  p 0.1s\n1 passed, 0 failed, 0 skipped\n", true},
		{"one fails", `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL p 0.1s\n"}
{"Action":"fail","Package":"p"}
`, "got 1, want 2\nFAIL p 0.1s\n0 passed, 1 failed, 0 skipped\n", false},
		{"skipped loudly", `{"Action":"output","Package":"p","Test":"TestA","Output":"x: NOT TESTED on mysql\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
`, "*** x: NOT TESTED on mysql\n1 passed, 0 failed, 1 skipped\n", true},
		{"doesn't build", `{"ImportPath":"p","Action":"build-output","Output":"x.go:1: wrong\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`, "x.go:1: wrong\nFAILED without a failed test (build, panic or time-out): p\n0 passed, 1 failed, 0 skipped\n", false},
		{"nothing ran", "go: no such module\n", "go: no such module\n0 passed, 0 failed, 0 skipped\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			for _, line := range strings.SplitAfter(test.in, "\n") {
				if line != "" {
					s.read(line)
				}
			}
			if ok := s.close(); ok != test.ok || out.String() != test.want {
				t.Errorf("got %v:\n%s\nwant %v:\n%s", ok, out.String(), test.ok, test.want)
			}
		})
	}
}
