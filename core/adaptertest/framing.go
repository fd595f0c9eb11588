package adaptertest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// smuggled is sent inside of bodies. A server that takes it for a request of its own answers it.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n"

// framings are header lines with a body whose length two parties could read differently, or that breaks off. Every framework
// has to ignore what follows; how it replies to such a request is its own business.
var framings = map[string]string{
	"a body":                   fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
	"a chunked body":           fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
	"a body with Expect":       fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
	"two lengths":              fmt.Sprintf("Content-Length: %d\r\nContent-Length: 0\r\n\r\n%s", len(smuggled), smuggled),
	"two lengths, 0 first":     fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
	"a list of lengths":        fmt.Sprintf("Content-Length: 0, %d\r\n\r\n%s", len(smuggled), smuggled),
	"a signed length":          fmt.Sprintf("Content-Length: +%d\r\n\r\n%s", len(smuggled), smuggled),
	"a hexadecimal length":     fmt.Sprintf("Content-Length: 0x%x\r\n\r\n%s", len(smuggled), smuggled),
	"a negative length":        "Content-Length: -1\r\n\r\n" + smuggled,
	"a length that is empty":   "Content-Length:\r\n\r\n" + smuggled,
	"a huge length":            "Content-Length: 99999999999999999999999\r\n\r\n" + smuggled,
	"a space before the colon": fmt.Sprintf("Content-Length : %d\r\n\r\n%s", len(smuggled), smuggled),
	"a folded length":          fmt.Sprintf("X: y\r\n Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
	"a folded coding":          fmt.Sprintf("Transfer-Encoding:\r\n chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
	"an unknown coding":        fmt.Sprintf("Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
	"an unknown coding alone":  "Transfer-Encoding: xchunked\r\n\r\n" + smuggled,
	"identity":                 "Transfer-Encoding: identity\r\n\r\n" + smuggled,
	"two codings":              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + smuggled,
	"a list of codings":        "Transfer-Encoding: gzip, chunked\r\n\r\n" + smuggled,
	"a control in the coding":  "Transfer-Encoding: \vchunked\r\n\r\n" + smuggled,
	"a coding that is empty":   "Transfer-Encoding:\r\n\r\n" + smuggled,
	"a chunk without a size":   "Transfer-Encoding: chunked\r\n\r\n" + smuggled,
	"one byte for a size":      "Transfer-Encoding: chunked\r\n\r\nX" + smuggled,
	"one byte too many":        "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX" + smuggled,
	"a line feed alone":        "Transfer-Encoding: chunked\r\n\r\n5\n" + smuggled,
	"a line feed, extended":    "Transfer-Encoding: chunked\r\n\r\n5;x\n" + smuggled,
	"a chunk of a sign":        "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + smuggled,
	"a chunk that is too long": "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n" + smuggled,
	"a later chunk is bad":     "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n" + smuggled,
	"a chunk of a huge size":   "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n" + smuggled,
	"a trailer without colon":  "Transfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n" + smuggled,
	"a form with an epilogue": fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s%s",
		len(form)+len(smuggled), form, smuggled),
	"a form with a long epilogue": fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s%s%s",
		formBuffer+len(smuggled), form, strings.Repeat("x", formBuffer-len(form)), smuggled),
}

// formBuffer is how much of a form package mime/multipart reads at once.
const formBuffer = 4096

const form = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--b--\r\n"

// runFraming sends requests of doubtful length, each on a connection of its own, to guarded and open routes, and counts how
// many requests the server ran from inside of their bodies.
func runFraming(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	var ran atomic.Int64
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		_, _ = io.WriteString(w, "ok")
	}))
	a.build.Handle("", "/open", func(*mcpauth.Session, error) string { return "ok" }, nil)
	a.build.Handle("", "/own", userID, a.rs)
	a.build.Handle("", "/smuggled", func(*mcpauth.Session, error) string {
		ran.Add(1)
		return "smuggled"
	}, nil)
	a.serve(t)
	token := "Authorization: Bearer " + a.env.Token(nil) + "\r\n"
	for name, rest := range framings {
		for _, target := range []string{"/mcp", "/mcp?unread", "/own", "/open", "/unknown", metadataPath} {
			for _, credentials := range []string{"", token} {
				for _, method := range []string{http.MethodPost, http.MethodGet} {
					a.sendRaw(t, method+" "+target+" HTTP/1.1\r\nHost: mcp.example.com\r\n"+credentials+rest)
					if n := ran.Swap(0); n != 0 {
						t.Errorf("%s: %s %s, token: %v: the body was run as %d requests", name, method, target, credentials != "", n)
					}
				}
			}
		}
	}
}

// sendRaw sends text, and returns all that comes until the server closes the connection.
func (a *app) sendRaw(t *testing.T, text string) string {
	t.Helper()
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the server may close while this is being sent
	if half, ok := conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	answer, err := io.ReadAll(conn)
	if err, ok := err.(net.Error); ok && err.Timeout() { //nolint:errorlint // as it comes from the connection
		t.Errorf("%.80q: the connection stays open", strings.TrimSpace(text))
	}
	return string(answer)
}
