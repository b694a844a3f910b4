package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// composeFile is what the test looks at of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Build       string            `yaml:"build"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
		Ports       []string          `yaml:"ports"`
		DependsOn   map[string]any    `yaml:"depends_on"`
	} `yaml:"services"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCompose holds docker-compose.yml to what it refers to: services, files, and a config that passes.
func TestCompose(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		if s.Image == "" && s.Build == "" {
			t.Errorf("%s: neither image nor build", name)
		}
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which isn't there", name, other)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, err := os.Stat(filepath.Join("../..", from)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, p)
			}
		}
		for _, p := range []string{"primary", "replica1", "replica2"} {
			if name == p && s.Image != "mysql:8.4" {
				t.Errorf("%s: got image %s, want mysql:8.4", name, s.Image)
			}
		}
	}
	leat := c.Services["leat"]
	for name, value := range leat.Environment {
		t.Setenv(name, value)
	}
	l, err := loadConfig("../../docker/leat.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range append([]string{l.backend.Shards[0].Primary}, l.backend.Shards[0].Replicas[0].Address, l.backend.Shards[0].Replicas[1].Address) {
		host, _, _ := strings.Cut(address, ":")
		if _, ok := c.Services[host]; !ok {
			t.Errorf("docker/leat.yaml: no service is called %s", host)
		}
	}
	for _, listen := range []string{l.listen.MySQL, l.listen.Admin} {
		port := listen[strings.LastIndex(listen, ":"):]
		if !slices.ContainsFunc(leat.Ports, func(p string) bool { return strings.HasSuffix(p, port) }) {
			t.Errorf("port %s isn't published", port)
		}
	}
}

// TestComposeLoader: the loader's command is one that leat knows, and its passwords are Leat's.
func TestComposeLoader(t *testing.T) {
	c := readCompose(t)
	loader, leat := c.Services["loader"], c.Services["leat"]
	cmd, args, err := root().Find(loader.Command)
	if err != nil || cmd.Name() != "demo" {
		t.Fatalf("%v: got %v and %v, want leat demo", loader.Command, cmd.Name(), err)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Error(err)
	}
	if got, want := loader.Environment["LEAT_DEMO_PASSWORD"], leat.Environment["APP_PASSWORD"]; got != want {
		t.Errorf("password: got %s, want %s", got, want)
	}
	if got, want := loader.Environment["LEAT_TOKEN"], leat.Environment["LEAT_TOKEN"]; got != want {
		t.Errorf("token: got %s, want %s", got, want)
	}
	users, err := os.ReadFile("../../docker/primary.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"APP_PASSWORD", "MONITOR_PASSWORD"} {
		if !strings.Contains(string(users), "'"+leat.Environment[name]+"'") {
			t.Errorf("docker/primary.sql makes no user with %s", name)
		}
	}
}

// TestPackaging: the example config passes, and the unit and the image start commands that exist.
func TestPackaging(t *testing.T) {
	t.Setenv("APP_PASSWORD", "a")
	t.Setenv("MONITOR_PASSWORD", "b")
	if _, err := loadConfig("../../packaging/leat.yaml"); err != nil {
		t.Error(err)
	}
	unit, err := os.ReadFile("../../packaging/leat.service")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^Exec\w+=/usr/bin/leat (.*)$`).FindAllSubmatch(unit, -1)
	if len(commands) == 0 {
		t.Error("the unit starts nothing")
	}
	for _, m := range commands {
		cmd, args, err := root().Find(strings.Fields(string(m[1])))
		if err != nil || cmd.ParseFlags(args) != nil {
			t.Errorf("the unit runs leat %s: %v", m[1], err)
		}
	}
	image, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nUSER 65532", `ENTRYPOINT ["/leat"]`, `CMD ["serve", "--config", "/etc/leat/leat.yaml"]`} {
		if !strings.Contains(string(image), want) {
			t.Errorf("Dockerfile: got no %q", want)
		}
	}
}
