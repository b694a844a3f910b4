// Package e2e holds Leat's whole-system tests: the built program between real clients and real MySQL and
// MariaDB servers. It has no code of its own beside its tests.
//
// What a reply must be is decided by a direct connection: scripts (testdata/diff) and random sequences of
// commands run both ways, and the frames are compared.
package e2e
