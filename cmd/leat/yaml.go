// Reading YAML into structs with the line of every value kept: unknown keys and wrong types are
// all reported, each with its line and path, not only the first.
package main

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// problem is one thing wrong with a config file. Line is 0 when it belongs to no line.
type problem struct {
	line int
	path string
	text string
}

// problems collects what is wrong with a config file. It is an error when there is any.
type problems struct {
	file  string
	lines map[string]int // path of a value → its line
	list  []problem
	// unread are the paths whose values couldn't be read: what is found in their stead is none of the file's.
	unread map[string]bool
}

// add notes what is wrong with the value at path. A value that isn't in the file takes the line
// of the nearest one around it. Of a value that couldn't be read, that is all there is to say.
func (p *problems) add(path, format string, args ...any) {
	for at := path; at != ""; at = around(at) {
		if p.unread[at] {
			return
		}
	}
	p.list = append(p.list, problem{p.line(path), path, fmt.Sprintf(format, args...)})
}

func (p *problems) line(path string) int {
	for {
		if line, ok := p.lines[path]; ok {
			return line
		}
		if path == "" {
			return 0
		}
		path = around(path)
	}
}

// around is the path of what a value stands in; empty: the file.
func around(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// has reports whether something is wrong with the value at path or with a part of it.
func (p *problems) has(path string) bool {
	return slices.ContainsFunc(p.list, func(q problem) bool {
		rest, inside := strings.CutPrefix(q.path, path)
		return inside && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// Lines are the problems in the order of the file, one each: leat.yaml:12: users[0].class: what is wrong.
func (p *problems) Lines() []string {
	sorted := slices.Clone(p.list)
	slices.SortStableFunc(sorted, func(a, b problem) int { return a.line - b.line })
	out := make([]string, 0, len(sorted))
	for _, q := range sorted {
		where := p.file
		if q.line > 0 {
			where += ":" + strconv.Itoa(q.line)
		}
		if q.path != "" {
			where += ": " + q.path
		}
		out = append(out, where+": "+q.text)
	}
	return out
}

func (p *problems) Error() string { return strings.Join(p.Lines(), "\n") }

// decodeYAML fills into, a pointer to a struct whose fields carry `yaml` tags, and notes what is
// wrong in found. Strings may name environment variables as ${NAME}; $${ is a plain ${.
func decodeYAML(text []byte, into any, found *problems) {
	file, err := parser.ParseBytes(markVariables(text), 0)
	if err != nil {
		line, what := syntaxError(err)
		found.list = append(found.list, problem{line: line, text: what})
		return
	}
	d := decoder{found: found}
	if len(file.Docs) > 1 {
		found.list = append(found.list, problem{text: "more than one YAML document; write one, without ---"})
		return
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		found.list = append(found.list, problem{text: "the file is empty"})
		return
	}
	d.value(file.Docs[0].Body, "", reflect.ValueOf(into).Elem())
	found.unread = map[string]bool{}
	for _, p := range found.list {
		found.unread[p.path] = true
	}
}

// syntaxError takes line and message out of the YAML library's error, which draws a picture.
func syntaxError(err error) (int, string) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	m := regexp.MustCompile(`^\[(\d+):\d+\] (.*)$`).FindStringSubmatch(first)
	if m == nil {
		return 0, first
	}
	line, _ := strconv.Atoi(m[1])
	return line, m[2]
}

type decoder struct{ found *problems }

func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	switch n := n.(type) {
	case *ast.NullNode, nil:
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.found.add(path, "anchors, aliases and tags aren't read here; write the value out")
		return
	case ast.MapNode:
		d.mapping(n, path, v)
	case *ast.SequenceNode:
		d.sequence(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

func (d *decoder) mapping(n ast.MapNode, path string, v reflect.Value) {
	v = settable(v)
	if text, ok := splitScalar(n, v); ok {
		d.found.add(path, "in {...}, what has a colon is read as a mapping unless it is quoted; write %q", text)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(n, path, v)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for it := n.MapRange(); it.Next(); {
			key := it.Key().GetToken().Value
			at := d.note(join(path, key), it.Key())
			element := reflect.New(v.Type().Elem()).Elem()
			d.value(it.Value(), at, element)
			v.SetMapIndex(reflect.ValueOf(key), element)
		}
	default:
		d.found.add(path, "a mapping (key: value) doesn't belong here; %s", wanted(v.Type()))
	}
}

// splitScalar tells a scalar that YAML took apart at its colon, as it does with [127.0.0.1:3306] inside {...}:
// a mapping of an unknown key to a number, where a scalar could stand too.
func splitScalar(n ast.MapNode, v reflect.Value) (string, bool) {
	it := n.MapRange()
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); !ok || !it.Next() {
		return "", false
	}
	key, value := it.Key().GetToken().Value, it.Value()
	_, known := fieldByKey(v, key)
	if _, number := value.(*ast.IntegerNode); known || !number || it.Next() {
		return "", false
	}
	return key + ":" + value.GetToken().Value, true
}

func (d *decoder) fields(n ast.MapNode, path string, v reflect.Value) {
	for it := n.MapRange(); it.Next(); {
		key := it.Key().GetToken().Value
		at := d.note(join(path, key), it.Key())
		field, ok := fieldByKey(v, key)
		if !ok {
			d.found.add(at, "unknown key; %s", suggest(key, keysOf(v.Type())))
			continue
		}
		d.value(it.Value(), at, field)
	}
}

func (d *decoder) sequence(n *ast.SequenceNode, path string, v reflect.Value) {
	if v.Kind() != reflect.Slice {
		d.found.add(path, "a list doesn't belong here; %s", wanted(v.Type()))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Values), len(n.Values)))
	for i, item := range n.Values {
		at := d.note(fmt.Sprintf("%s[%d]", path, i), item)
		d.value(item, at, v.Index(i))
	}
}

func (d *decoder) scalar(n ast.Node, path string, v reflect.Value) {
	text, ok := d.expand(scalarText(n), path)
	if !ok {
		return
	}
	v = settable(v)
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.found.add(path, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			d.found.add(path, "%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			d.found.add(path, "%q is not a whole number", text)
		}
		v.SetInt(int64(i))
	default:
		d.found.add(path, "%q doesn't belong here; %s", text, wanted(v.Type()))
	}
}

// scalarText is a scalar as it is spelled in the file, without its quotes.
func scalarText(n ast.Node) string {
	if l, ok := n.(*ast.LiteralNode); ok {
		return l.Value.Value
	}
	return n.GetToken().Value
}

// Marks for ${NAME} and $${NAME} while YAML is being read: in {a: ${B}} the braces would mean a mapping.
const (
	markVariable = "\uE000" // private use: means nothing in a file
	markPlain    = "\uE001"
	markEnd      = "\uE002"
)

var (
	variable = regexp.MustCompile(`(\$?)\$\{([^}\r\n]*)\}`)
	marked   = regexp.MustCompile("([\uE000\uE001])([^\uE002]*)\uE002")
)

func markVariables(text []byte) []byte {
	return variable.ReplaceAllFunc(text, func(m []byte) []byte {
		part := variable.FindSubmatch(m)
		mark := markVariable
		if len(part[1]) > 0 {
			mark = markPlain
		}
		return []byte(mark + string(part[2]) + markEnd)
	})
}

// expand puts the values of environment variables in. False means that one isn't set.
func (d *decoder) expand(text, path string) (string, bool) {
	ok := true
	text = marked.ReplaceAllStringFunc(text, func(m string) string {
		part := marked.FindStringSubmatch(m)
		if part[1] == markPlain {
			return "${" + part[2] + "}"
		}
		value, set := os.LookupEnv(part[2])
		if !set {
			d.found.add(path, "environment variable %q isn't set; set it, or write $${...} for a plain ${...}", part[2])
			ok = false
		}
		return value
	})
	return text, ok
}

// note remembers the line of the value at path.
func (d *decoder) note(path string, n ast.Node) string {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	d.found.lines[path] = n.GetToken().Position.Line
	return path
}

// settable makes the value that a nil pointer is to point at, and returns it.
func settable(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	return keys
}

// wanted says what to write where a value of type t belongs.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		if keys := keysOf(t); keys[0] != "" {
			return "write keys: " + strings.Join(keys, ", ")
		}
	case reflect.Map:
		return "write names with their settings"
	case reflect.Slice:
		return "write a list: [a, b]"
	}
	return "write a single value"
}

// suggest says which key was probably meant, or which there are.
func suggest(key string, known []string) string {
	for _, k := range known {
		if d := distance(key, k); d <= 2 && d < len(key)/2+1 {
			return fmt.Sprintf("did you mean %s?", k)
		}
	}
	return "known here: " + strings.Join(known, ", ")
}

// distance is how many letters have to be added, dropped or replaced to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left, diagonal := i+1, i
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j+1], left)
			}
			diagonal, row[j], left = row[j+1], left, cost
		}
		row[len(b)] = left
	}
	return row[len(b)]
}
