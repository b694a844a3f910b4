// Leat is a proxy between applications and their MySQL or MariaDB servers: it splits reads from writes,
// shares connections, and keeps away from servers that are ill or behind.
//
//	leat serve    run it
//	leat check    say what is wrong with a config
//	leat explain  say where a statement would go
//	leat demo     try it on real servers of its own
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set at build time: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	if err := root().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, errorText(err))
		os.Exit(1)
	}
}

// errorText is an error as the terminal shows it: problems of a config stand for themselves.
func errorText(err error) string {
	var p *problems
	if errors.As(err, &p) {
		return p.Error()
	}
	return "leat: " + err.Error()
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "leat",
		Short:         "A proxy for MySQL and MariaDB: read/write split, pooling, read your own writes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(serveCommand(), checkCommand(), explainCommand(), demoCommand(), versionCommand())
	return cmd
}

// configFlag adds --config, whose default is leat.yaml here or in /etc/leat.
func configFlag(cmd *cobra.Command, path *string) {
	standard := "leat.yaml"
	if _, err := os.Stat(standard); err != nil {
		if _, err := os.Stat("/etc/leat/leat.yaml"); err == nil {
			standard = "/etc/leat/leat.yaml"
		}
	}
	cmd.Flags().StringVarP(path, "config", "c", standard, "the config file")
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "leat %s (%s, %s/%s)\n", ownVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return "devel"
}
