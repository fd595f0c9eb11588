package tenants

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"strings"
)

// Hosts serves several hosts with a handler each.
//
// The Host header only chooses among these handlers: clients are told the BaseURL of the chosen resource server, and never what
// they sent. Behind a proxy that rewrites Host, choose by what the proxy leaves, such as a path or a port.
type Hosts struct {
	// Handlers are the handlers by host name, in lower case and without port and brackets: usually a mux each, on which the
	// resource server was mounted that was made for the host.
	Handlers map[string]http.Handler

	// Logger learns of unknown hosts. nil is slog.Default().
	Logger *slog.Logger
}

// ServeHTTP answers 404 for a host without a handler, and logs what to do.
func (h *Hosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	handler, ok := h.Handlers[strings.TrimSuffix(strings.Trim(host, "[]"), ".")]
	if ok {
		handler.ServeHTTP(w, r)
		return
	}
	cmp.Or(h.Logger, slog.Default()).InfoContext(r.Context(), "unknown host", "host", shown(host),
		"cure", "add a resource server for this host, or have the proxy in front keep the Host header")
	http.NotFound(w, r)
}

// shown returns as much as a log needs of a text that a stranger has chosen, and that may be as long as a request's header.
func shown(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
