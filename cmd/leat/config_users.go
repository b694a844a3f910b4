// The users section: who may log in to Leat, and as whom Leat logs in to the servers for them.
package main

import (
	"fmt"

	"leat/proxy"
)

func (b *builder) users(list []userConfig) []proxy.User {
	if len(list) == 0 {
		b.found.add("users", "nobody could log in; write at least one: users: [{name: app, password: ${APP_PASSWORD}}]")
	}
	lines := map[string]int{}
	out := make([]proxy.User, 0, len(list))
	for i, u := range list {
		path := fmt.Sprintf("users[%d]", i)
		user := b.user(path, &u)
		if first, ok := lines[u.Name]; ok && u.Name != "" {
			b.found.add(path+".name", "%q is already in line %d; a name is there once", u.Name, first)
			continue
		}
		lines[u.Name] = b.found.line(path)
		if !b.found.has(path) {
			if err := user.Validate(); err != nil {
				b.found.add(path, "%v", err)
			}
		}
		out = append(out, user)
	}
	return out
}

func (b *builder) user(path string, u *userConfig) proxy.User {
	if u.Name == "" {
		b.found.add(path+".name", "a user needs a name")
	}
	b.oneOf(path+".class", u.Class, "online", "online", "batch")
	user := proxy.User{
		Name: u.Name, Verifier: u.Verifier, From: prefixes(u.From),
		Class: u.Class, Admin: u.Admin, ServerUser: u.ServerUser,
	}
	hasPassword := u.Password != nil || u.PasswordFile != "" || b.found.has(path+".password") || b.found.has(path+".password_file")
	switch {
	case !hasPassword && u.Verifier == "" && !b.found.has(path+".verifier"):
		b.found.add(path, "a password is needed; write password: ${APP_PASSWORD}, password_file, or verifier (password: '' for none)")
	case hasPassword && u.Verifier != "":
		b.found.add(path+".verifier", "a password is given too; leave one of them out")
	}
	user.Password = b.secret(path+".password", u.Password, u.PasswordFile)
	user.ServerPassword = b.secret(path+".server_password", u.ServerPassword, u.ServerPasswordFile)
	if u.Verifier == "" {
		return user
	}
	if user.ServerPassword == "" && !b.found.has(path+".server_password") && !b.found.has(path+".server_password_file") {
		b.found.add(path+".verifier", "a verifier can't log in to the servers; add server_password or server_password_file")
	}
	if err := proxy.CheckVerifier(u.Verifier); err != nil {
		b.found.add(path+".verifier", "%v", err)
	}
	return user
}

// secret is a password from the config file itself, or from the file that it names (key path + "_file").
func (b *builder) secret(path string, inline *string, file string) string {
	if file == "" {
		if inline == nil {
			return ""
		}
		return *inline
	}
	if inline != nil {
		b.found.add(path+"_file", "the password itself is given too; leave one of them out")
	}
	return b.secretFile(path+"_file", file)
}
