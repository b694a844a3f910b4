//go:build race

package mysqlwire

// raceEnabled tells that the race detector is on: pools lose some of what is put into them then.
const raceEnabled = true
