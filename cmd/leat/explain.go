// leat explain: where a statement would go by the config alone, without a server.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"leat/proxy"
	"leat/proxy/wire"
	"leat/router"
)

// explained is what a config alone says of a statement.
type explained struct {
	Text   string `json:"text"`
	Digest string `json:"digest"`
	Class  string `json:"class"`
	Rule   string `json:"rule"`
	Shard  string `json:"shard"`
	Role   string `json:"role"`
	Reads  string `json:"replica_class,omitempty"`
	Pin    string `json:"pin,omitempty"`
}

func explainCommand() *cobra.Command {
	var path, user, database, flavor string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain SQL", Short: "Say where a statement would go, and why, without a server", Args: cobra.ExactArgs(1),
		Example: `  leat explain --config leat.yaml "SELECT * FROM user_features WHERE user_id = 7"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := loadConfig(path)
			if err != nil {
				return err
			}
			e, err := l.explain(user, database, flavor, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(e)
			}
			e.print(cmd.OutOrStdout())
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&user, "user", "", "the user who would send it (default: one of class online)")
	cmd.Flags().StringVar(&database, "database", "", "the session's current database")
	cmd.Flags().StringVar(&flavor, "flavor", "", "what the servers are: mysql, mariadb or postgres (default: by the dialect of the database's shard)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "answer in JSON")
	return cmd
}

func (l *loaded) explain(user, database, flavor, sql string) (*explained, error) {
	class, err := l.classOf(user)
	if err != nil {
		return nil, err
	}
	facts := &router.Facts{Database: database, Flavor: wire.FlavorMySQL}
	m, err := l.newMap(1)
	if err != nil {
		return nil, err
	}
	d := m.DialectOf(database)
	switch cmp.Or(flavor, d.String()) {
	case "mysql":
	case "mariadb":
		facts.Flavor = wire.FlavorMariaDB
	case "postgres":
		facts.Flavor = wire.FlavorPostgres
	default:
		return nil, fmt.Errorf("flavor %q is not known; give --flavor mysql, mariadb or postgres", flavor)
	}
	r, err := router.New(l.router)
	if err != nil {
		return nil, err
	}
	plan := r.Plan([]byte(sql), facts, new(router.Scan))
	switch {
	case plan.Kind == router.KindEmpty:
		return nil, errors.New("there is no statement to explain; give one: leat explain \"SELECT ...\"")
	case plan.Hints.Err != "":
		return nil, errors.New(plan.Hints.Err)
	}
	want := &router.Want{Dialect: d, Database: database, Class: class, ReadOnlyTx: plan.Kind == router.KindBeginReadOnly}
	route, err := r.Route(plan, want, m)
	if err != nil {
		return nil, fmt.Errorf("%w; give --database, or list the database in the config", err)
	}
	e := &explained{
		Text: plan.Text, Digest: fmt.Sprintf("%016x", plan.Digest), Class: plan.Class.String(), Rule: route.Rule,
		Shard: string(route.Shard), Role: route.Role.String(), Pin: plan.Pin,
	}
	if route.Role == wire.Replica {
		e.Reads = route.Class
	}
	return e, nil
}

// classOf is the class of a user's reads.
func (l *loaded) classOf(user string) (string, error) {
	if user == "" {
		return "online", nil
	}
	for _, u := range l.proxy.Users {
		if u.Name == user {
			return orOnline(u), nil
		}
	}
	return "", fmt.Errorf("the config has no user %s", strconv.Quote(user))
}

func orOnline(u proxy.User) string {
	if u.Class == "" {
		return "online"
	}
	return u.Class
}

func (e *explained) print(w io.Writer) {
	pin := e.Pin
	if pin == "" {
		pin = "no"
	}
	for _, line := range [][2]string{
		{"statement", e.Text},
		{"digest", e.Digest},
		{"class", e.Class},
		{"because", e.Rule},
		{"shard", e.Shard},
		{"role", e.Role},
		{"replicas of class", e.Reads},
		{"pins the session", pin},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-17s %s\n", line[0], line[1])
		}
	}
}
