package mcpauth

import "strings"

// bearerToken returns the token of an Authorization header (OAuth 2.1 §5.1.1), unchecked, or refusalNoCredentials or
// refusalMalformed. A token in the query, a form or a cookie does not count (RFC 6750 §2.2 and §2.3).
func bearerToken(lines []string) (token string, why *refusal) {
	switch len(lines) {
	case 0:
		return "", refusalNoCredentials
	case 1:
	default:
		return "", refusalMalformed // a proxy in front may have checked either of them
	}
	value := trimSpace(lines[0])
	end := 0
	for end < len(value) && isSchemeByte(value[end]) {
		end++
	}
	if scheme := value[:end]; scheme != "Bearer" && !strings.EqualFold(scheme, "Bearer") {
		return "", refusalNoCredentials
	}
	token = strings.TrimLeft(value[end:], " ")
	if token == "" || len(token) == len(value)-end {
		return "", refusalMalformed
	}
	return token, nil
}

// trimSpace trims the white space around a field value (RFC 9110 §5.5).
func trimSpace(s string) string {
	isSpace := func(c byte) bool { return c == ' ' || c == '\t' }
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSchemeByte(c byte) bool { return isAlphanumeric(rune(c)) || c == '-' || c == '_' || c == '.' }

// isToken68 reports whether s is a token68 (RFC 9110 §11.2).
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !token68[body[i]] {
			return false
		}
	}
	return body != ""
}

// token68 has the bytes of a token68 in front of the = at its end.
var token68 = func() (table [256]bool) {
	for c := range table {
		table[c] = isAlphanumeric(rune(c)) || strings.IndexByte("-._~+/", byte(c)) >= 0
	}
	return table
}()
