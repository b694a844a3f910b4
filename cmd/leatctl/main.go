// leatctl is the admin CLI. It speaks to the admin API of a running Leat and imports nothing else of it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set at build time: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root(os.Stdout).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "leatctl:", err)
		os.Exit(1)
	}
}

// options are the flags that every command has.
type options struct {
	admin     string
	token     string
	tokenFile string
	json      bool
	out       io.Writer
}

func root(out io.Writer) *cobra.Command {
	o := &options{out: out}
	cmd := &cobra.Command{
		Use:           "leatctl",
		Short:         "See and steer a running Leat",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetOut(out)
	cmd.CompletionOptions.HiddenDefaultCmd = true
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.admin, "admin", envOr("LEAT_ADMIN", "http://127.0.0.1:6070"), "where Leat's admin port is: a URL, or a unix socket's path (LEAT_ADMIN)")
	flags.StringVar(&o.token, "token", "", "admin token; better in LEAT_TOKEN or a file, where others can't see it")
	flags.StringVar(&o.tokenFile, "token-file", os.Getenv("LEAT_TOKEN_FILE"), "file with the admin token (LEAT_TOKEN_FILE)")
	flags.BoolVar(&o.json, "json", false, "answer in JSON")
	cmd.AddCommand(
		o.statusCommand(), o.serversCommand(), o.explainCommand(), o.digestsCommand(), o.topCommand(),
		o.sessionsCommand(), o.drainCommand(), o.reloadCommand(), o.versionCommand(),
	)
	return cmd
}

func envOr(name, standard string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return standard
}

// client is the way to Leat that the flags name.
func (o *options) client() (*client, error) {
	token, from := o.token, "--token"
	if token == "" && o.tokenFile != "" {
		text, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("%w; give the file with the admin token with --token-file or LEAT_TOKEN_FILE", err)
		}
		token, from = strings.TrimSpace(string(text)), o.tokenFile
	}
	if token == "" {
		token, from = os.Getenv("LEAT_TOKEN"), "LEAT_TOKEN"
	}
	return newClient(o.admin, token, from)
}

func (o *options) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which leatctl this is, and which Leat answers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer := struct {
				Leatctl string `json:"leatctl"`
				Leat    string `json:"leat,omitempty"`
			}{Leatctl: ownVersion()}
			if c, err := o.client(); err == nil {
				var s status
				if c.get(cmd.Context(), "/api/status", &s) == nil {
					answer.Leat = s.Version
				}
			}
			if o.json {
				return o.printJSON(answer)
			}
			fmt.Fprintln(o.out, "leatctl", answer.Leatctl)
			if answer.Leat == "" {
				answer.Leat = "doesn't answer at " + o.admin
			}
			fmt.Fprintln(o.out, "leat   ", answer.Leat)
			return nil
		},
	}
}

func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// errRefused is what Leat answered when it didn't do what was asked. Lines are details.
type errRefused struct {
	status int // of HTTP
	text   string
	lines  []string
}

func (e *errRefused) Error() string {
	return strings.Join(append([]string{e.text}, e.lines...), "\n  ")
}

// isNotFound reports whether Leat knows nothing of that name.
func isNotFound(err error) bool {
	var refused *errRefused
	return errors.As(err, &refused) && refused.status == http.StatusNotFound
}

// errGone is returned when nothing answers at the admin address.
var errGone = errors.New("no Leat answers")
