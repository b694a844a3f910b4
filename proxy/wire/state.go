package wire

import (
	"sort"
	"strings"
)

// State is the session state that Leat restores on a conn before it lends it: the current database and
// the session variables that differ from the server's defaults. It is immutable; With and Without
// return changed copies. Two states are equal when their keys are.
type State struct {
	database string
	vars     []Var // sorted by name
	key      string
}

// Var is one session variable. Value is the server's own spelling of it, unquoted.
type Var struct {
	Name  string // lower case
	Value string
}

var empty = &State{}

// NewState returns a state with that database and no variables.
func NewState(database string) *State { return empty.WithDatabase(database) }

// Database is the current database; empty means none.
func (s *State) Database() string { return s.database }

// Vars are the variables set, sorted by name. The slice must not be changed.
func (s *State) Vars() []Var { return s.vars }

// Key tells states apart: it is equal exactly when database and variables are.
func (s *State) Key() string { return s.key }

// Equal reports whether both states mean the same.
func (s *State) Equal(o *State) bool { return s == o || s.key == o.key }

// Get returns a variable's value.
func (s *State) Get(name string) (string, bool) {
	i := s.find(name)
	if i < len(s.vars) && s.vars[i].Name == name {
		return s.vars[i].Value, true
	}
	return "", false
}

// With returns the state with a variable set.
func (s *State) With(name, value string) *State {
	if old, ok := s.Get(name); ok && old == value {
		return s
	}
	i := s.find(name)
	vars := make([]Var, 0, len(s.vars)+1)
	vars = append(vars, s.vars[:i]...)
	vars = append(vars, Var{name, value})
	if i < len(s.vars) && s.vars[i].Name == name {
		i++
	}
	vars = append(vars, s.vars[i:]...)
	return newState(s.database, vars)
}

// Without returns the state with a variable back at its default.
func (s *State) Without(name string) *State {
	if _, ok := s.Get(name); !ok {
		return s
	}
	i := s.find(name)
	vars := append([]Var{}, s.vars[:i]...)
	return newState(s.database, append(vars, s.vars[i+1:]...))
}

// WithDatabase returns the state with another current database.
func (s *State) WithDatabase(name string) *State {
	if s.database == name && s.key != "" {
		return s
	}
	return newState(name, s.vars)
}

func (s *State) find(name string) int {
	return sort.Search(len(s.vars), func(i int) bool { return s.vars[i].Name >= name })
}

func newState(database string, vars []Var) *State {
	var b strings.Builder
	b.WriteString(database)
	for _, v := range vars {
		b.WriteByte(0)
		b.WriteString(v.Name)
		b.WriteByte('=')
		b.WriteString(v.Value)
	}
	b.WriteByte(0)
	return &State{database: database, vars: vars, key: b.String()}
}
