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
		case token != "" && !holdsToken(r, token):
			w.Header().Add("WWW-Authenticate", `Bearer realm="leat"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="leat: any name, the admin token as password"`)
			fail(w, http.StatusUnauthorized, "the admin token is needed; give it with --token-file or LEAT_TOKEN, or as Authorization: Bearer")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// holdsToken reports whether the request carries the token, as a bearer or as a browser sends it: the
// password of Basic. The time that it takes doesn't tell how much of a guess was right.
func holdsToken(r *http.Request, token string) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, _ = r.BasicAuth()
	}
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
