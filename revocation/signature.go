package mcpauthrevocation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	webhookTolerance = 5 * time.Minute
	maxSignatures    = 16
	maxHeaderText    = 4 << 10
)

// A webhookSignature is what the headers of a webhook say (Standard Webhooks).
type webhookSignature struct {
	id, timestamp string
	values        [][]byte
}

// signatureOf reads the headers of a webhook of the last five minutes.
func (l *List) signatureOf(h http.Header) (s webhookSignature, ok bool) {
	one := func(name string) string {
		if lines := h.Values(name); len(lines) == 1 && len(lines[0]) <= maxHeaderText {
			return lines[0]
		}
		return ""
	}
	s.id, s.timestamp = one("webhook-id"), one("webhook-timestamp")
	signatures := one("webhook-signature")
	if s.id == "" || strings.Contains(s.id, ".") || signatures == "" || !isDecimal(s.timestamp) {
		return s, false
	}
	seconds, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil {
		return s, false
	}
	if age := l.cfg.Now().Sub(time.Unix(seconds, 0)); age > webhookTolerance || age < -webhookTolerance {
		return s, false
	}
	for signature := range strings.SplitSeq(signatures, " ") {
		encoded, v1 := strings.CutPrefix(signature, "v1,")
		if !v1 { // of a later version of the scheme
			continue
		}
		value, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err == nil && len(value) == sha256.Size && len(s.values) < maxSignatures {
			s.values = append(s.values, value)
		}
	}
	return s, len(s.values) > 0
}

func isDecimal(text string) bool {
	return text != "" && len(text) <= 12 && text[0] != '0' && strings.Trim(text, "0123456789") == ""
}

// signs reports whether one of the signatures is that of a secret over the body. It compares in constant time.
func (s *webhookSignature) signs(body []byte, secrets [][]byte) bool {
	found := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		_, _ = mac.Write([]byte(s.id + "." + s.timestamp + "."))
		_, _ = mac.Write(body)
		sum := mac.Sum(nil)
		for _, value := range s.values {
			if hmac.Equal(value, sum) {
				found = true
			}
		}
	}
	return found
}
