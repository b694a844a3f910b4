package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"leat/internal/localdb"
)

// TestDemo runs the demo for a moment, on what is installed: no stale read, no error, and a part of the reads on each
// replica.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	o := demoOptions{}
	var out bytes.Buffer
	flavors, err := o.findFlavors(t.Context(), &out)
	if errors.Is(err, localdb.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := demoCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--for", "3s"})
	if err := cmd.ExecuteContext(context.WithoutCancel(t.Context())); err != nil {
		t.Fatalf("got %v, want none; it said\n%s", err, out.String())
	}
	text := out.String()
	for _, flavor := range flavors {
		for _, want := range []string{"Starting a " + flavorNames[flavor] + " primary", "│ " + flavorNames[flavor]} {
			if !strings.Contains(text, want) {
				t.Errorf("got no %q in\n%s", want, text)
			}
		}
	}
	if !strings.Contains(text, "stale reads 0, errors 0") || !strings.Contains(text, "│ replica │") {
		t.Errorf("got\n%s\nwant reads on replicas, no error and no stale read", text)
	}
}
