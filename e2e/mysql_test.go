package e2e

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"

	"leat/internal/localdb"
)

// mysqlCases are the numbered cases of how MySQL and MariaDB behave, each a test of its own on both flavors.
// Files add to it in their init.
var mysqlCases = map[int]mysqlCase{}

// mysqlCase is one numbered case. The number is that of the project's list of cases; run gets servers by
// sharedServers or startServers, and a Leat by startLeat.
type mysqlCase struct {
	name string // in_few_words
	run  func(ctx context.Context, t *testing.T, flavor localdb.Flavor)
}

func addMySQLCase(number int, name string, run func(ctx context.Context, t *testing.T, flavor localdb.Flavor)) {
	if _, ok := mysqlCases[number]; ok {
		panic(fmt.Sprintf("case %d is there twice", number))
	}
	mysqlCases[number] = mysqlCase{strings.ReplaceAll(name, " ", "_"), run}
}

func TestMySQL(t *testing.T) {
	var numbers []int
	for n := range mysqlCases {
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	for _, n := range numbers {
		c := mysqlCases[n]
		t.Run(fmt.Sprintf("%03d_%s", n, c.name), func(t *testing.T) { eachFlavor(t, c.run) })
	}
}
