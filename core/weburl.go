package mcpauth

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// webURL checks what all configured URLs have in common. It returns raw without one trailing slash and, if nothing is
// wrong with it, its parts. A URL with user information is reported without its value, which holds a password.
func (c *checker) webURL(field, raw, cure string) (trimmed string, parts *url.URL) {
	trimmed = strings.TrimSuffix(raw, "/")
	mistakes := len(c.errs)
	u, err := url.Parse(raw)
	switch {
	case err == nil && u.User != nil:
		c.addKnown(field, redacted, "holds a user name or password; give "+cure+" without it")
	case strings.Contains(raw, "@"):
		c.addKnown(field, redacted, "holds an @; give "+cure)
	case err != nil || strings.ContainsFunc(raw, isControl):
		c.add(field, raw, "is not a URL; give "+cure)
	case u.Scheme == "" || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		c.add(field, raw, "has no scheme https; give "+cure+", such as https://host.example.com")
	case u.Host == "" || u.Hostname() == "":
		c.add(field, raw, "has no host; give "+cure+", such as https://host.example.com")
	case !validHost(u):
		c.add(field, raw, "has a host that is neither a name nor an address; write international names with xn--, as browsers send them")
	case u.RawQuery != "" || u.ForceQuery:
		c.add(field, raw, "has a query; remove everything from the ? on")
	case strings.Contains(raw, "#"):
		c.add(field, raw, "has a fragment; remove everything from the # on")
	case u.Scheme == "http" && !isLoopback(strings.ToLower(u.Hostname())) && !c.mayBeInsecure(field):
		c.add(field, raw, "is not encrypted; use https (http is for loopback only)"+c.insecureCure(field))
	case u.Host != strings.ToLower(u.Host) || !strings.HasPrefix(raw, u.Scheme+"://"):
		c.add(field, raw, "has capital letters in its scheme or host; write them in lower case, because clients compare byte by byte")
	case !validPort(u):
		c.add(field, raw, "has a port that is impossible, or that is the default of its scheme, which clients leave out; remove it")
	}
	if len(c.errs) > mistakes {
		return trimmed, nil
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return trimmed, u
}

// insecureFields are those that DangerouslyAllowInsecureEnvironment is about.
var insecureFields = []string{"EnvironmentURL", "InternalEnvironmentURL", "Issuers"}

func (c *checker) mayBeInsecure(field string) bool {
	return c.insecure && slices.Contains(insecureFields, field)
}

func (c *checker) insecureCure(field string) string {
	if slices.Contains(insecureFields, field) {
		return ", or set DangerouslyAllowInsecureEnvironment between the containers of a development machine"
	}
	return ""
}

// originOf returns scheme and host of a URL that was checked, and "" for one that is not a URL.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// pathMistake says what keeps a path from meaning the same route, literally, to every router and every client.
func pathMistake(path string) string {
	for _, segment := range strings.Split(path, "/")[1:] {
		if segment == "" || segment == "." || segment == ".." {
			return "has an empty segment, . or ..; clients and proxies rewrite those"
		}
	}
	// The unreserved characters of RFC 3986 and some that no router gives a meaning to. Not among them: the parameter
	// and wildcard signs { } : * + ? < > ( ) of the routers, and what has to be written with %.
	if strings.ContainsFunc(path, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("/-._~@!$&,=", r)
	}) {
		return "holds a character other than letters, digits and /-._~@!$&,=; routers read { } : * ? # % as patterns"
	}
	return ""
}

// validPort reports whether u has no port, or one that clients keep when they normalize the URL.
func validPort(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	if u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && port[0] != '0'
}

// validHost reports whether the host of u is an address, or a name in the form in which clients send it.
func validHost(u *url.URL) bool {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Zone() == "" && addr.String() == strings.ToLower(host)
	}
	return !strings.HasPrefix(host, ".") && !strings.HasSuffix(host, ".") && !strings.Contains(host, "..") &&
		!strings.ContainsFunc(host, func(r rune) bool { return !isAlphanumeric(r) && r != '.' && r != '-' && r != '_' })
}

// isLoopback reports whether host, without port and brackets, can only be this machine: an address, localhost or a name
// below it (RFC 6761 §6.3), in small letters.
func isLoopback(host string) bool {
	if name, ok := strings.CutSuffix("."+host, ".localhost"); ok {
		return !strings.Contains(name+".", "..") && !strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
		})
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
