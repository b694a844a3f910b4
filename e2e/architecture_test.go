package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestArchitecture holds the code to the import graph in ARCHITECTURE.md: the block that is marked imports.
func TestArchitecture(t *testing.T) {
	allowed := importGraph(t)
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "./cmd/...", "./proxy/...", "./router/...", "./shard/...", "./internal/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		path, imports, _ := strings.Cut(line, ": ")
		pkg := strings.TrimPrefix(path, "leat/")
		may, ok := allowed[pkg]
		if !ok {
			t.Errorf("package %s is not in ARCHITECTURE.md's import graph", pkg)
			continue
		}
		for _, imported := range strings.Fields(imports) {
			own, isOwn := strings.CutPrefix(imported, "leat/")
			if isOwn && !slices.Contains(may, "*") && !slices.Contains(may, own) {
				t.Errorf("package %s imports %s, which ARCHITECTURE.md doesn't allow", pkg, own)
			}
		}
	}
}

// importGraph reads the block: one package a line, then those of Leat that it may import; * is all.
func importGraph(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "```imports\n")
	block, _, ended := strings.Cut(block, "```")
	if !found || !ended {
		t.Fatal("ARCHITECTURE.md has no block marked imports")
	}
	graph := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		pkg, imports, _ := strings.Cut(line, ":")
		graph[pkg] = strings.Fields(imports)
	}
	return graph
}
