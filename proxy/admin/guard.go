// Who may use the admin port: holders of the token, or, without one, this machine's own programs. A web page
// in somebody's browser is neither.
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard refuses requests that may not be answered. The health checks are open to all.
func (s *HTTP) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		if !sameSite(r) {
			fail(w, http.StatusForbidden, "a page of another site sent this request; open the admin page itself, or use leatctl")
			return
		}
		token := *s.token.Load()
		switch {
		case token == "" && !localHost(r):
			fail(w, http.StatusForbidden, "without a token the admin port answers to an IP address or localhost only, not to the host name "+
				"in the request; use http://127.0.0.1 or set admin.token in the config")
		case token != "" && !sameToken(givenToken(r), token):
			w.Header().Add("WWW-Authenticate", `Bearer realm="leat"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="leat: any name, the admin token as password"`)
			text := "wrong admin token; it must be the one of admin.token or admin.token_file in the config that Leat has loaded"
			if givenToken(r) == "" {
				text = "the admin token is needed; send it as Authorization: Bearer, or as the password of a browser's log-in"
			}
			fail(w, http.StatusUnauthorized, text)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// givenToken is the token that the request carries, as a bearer or as a browser sends it: the password of Basic.
func givenToken(r *http.Request) string {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, _ = r.BasicAuth()
	}
	return given
}

// sameToken compares in a time that doesn't tell how much of a guess was right.
func sameToken(given, token string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// sameSite is false for what a page of another site made a browser send.
func sameSite(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host
}

// localHost is false for a name that somebody's DNS may point here (DNS rebinding). A unix socket has no names.
func localHost(r *http.Request) bool {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addr.Network() == "unix" {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost")
}
