package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

// TestDocsListEveryKey holds docs/config.md to the keys that the config has, both ways.
func TestDocsListEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	want := leaves(reflect.TypeFor[config](), "")
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+\\| [^|]*\\| [^|]+\\|$").FindAllSubmatch(text, -1) {
		got = append(got, string(m[1]))
	}
	for _, key := range want {
		if !slices.Contains(got, key) {
			t.Errorf("docs/config.md doesn't list %s", key)
		}
	}
	for i, key := range got {
		if !slices.Contains(want, key) && key != "shards[].replicas" {
			t.Errorf("docs/config.md lists %s, which the config doesn't have", key)
		}
		if slices.Contains(got[:i], key) {
			t.Errorf("docs/config.md lists %s twice", key)
		}
	}
}

// leaves are the keys that hold values, with [] for items of a list and NAME for names that are free.
func leaves(t reflect.Type, path string) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return leaves(t.Elem(), path)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct && t.Elem() != reflect.TypeFor[network]() {
			return leaves(t.Elem(), path+"[]")
		}
	case reflect.Map:
		return leaves(t.Elem(), path+".NAME")
	case reflect.Struct:
		var all []string
		for i := range t.NumField() {
			f := t.Field(i)
			all = append(all, leaves(f.Type, join(path, f.Tag.Get("yaml")))...)
		}
		return all
	}
	return []string{path}
}

// TestDocsListEveryHint: the docs list what a leading comment may ask for, and the error for what it may not lists the same.
func TestDocsListEveryHint(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseConfig("leat.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+=[a-z]+)` \\|").FindAllSubmatch(text, -1) {
		listed = append(listed, string(m[1]))
		if _, err := l.explain("", "", "mysql", "/* leat: "+string(m[1])+" */ SELECT 1"); err != nil {
			t.Errorf("%s: got %v, want it accepted", m[1], err)
		}
	}
	_, err = l.explain("", "", "mysql", "/* leat: none=such */ SELECT 1")
	if err == nil {
		t.Fatal("an unknown hint: got no error")
	}
	var known []string
	for _, m := range regexp.MustCompile(`([a-z]+)=([a-z]+)\|([a-z]+)`).FindAllStringSubmatch(err.Error(), -1) {
		known = append(known, m[1]+"="+m[2], m[1]+"="+m[3])
	}
	slices.Sort(listed)
	slices.Sort(known)
	if len(known) < 6 || !slices.Equal(listed, known) {
		t.Errorf("docs/config.md lists %v, the error %v; want the same", listed, known)
	}
}

// TestDocsExamples: what the docs show is a config that passes.
func TestDocsExamples(t *testing.T) {
	for _, name := range []string{"APP_PASSWORD", "MONITOR_PASSWORD", "TRAINING_PASSWORD"} {
		t.Setenv(name, "secret")
	}
	for _, name := range []string{"README.md", "docs/config.md"} {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s: got no example", name)
		}
		for _, b := range blocks {
			if _, err := parseConfig(name, b[1]); err != nil {
				t.Errorf("%v\n%s", err, b[1])
			}
		}
	}
}
