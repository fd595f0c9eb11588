package mcpauth

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// A ToolRefusal is the refusal of a tool call as the result of the call, whose isError is true. See
// [Config.ChallengeInResultFor]. It may be shared by calls and must not be modified.
type ToolRefusal struct {
	// Text is the text of the result's content: a fixed sentence for people and models.
	Text string

	// Meta holds the members of the result's _meta: mcp/www_authenticate, which is a list of one value of WWW-Authenticate.
	Meta map[string]any
}

// metaChallenge is the member of a tool result's _meta in which hosts look for challenges (OpenAI Apps SDK).
const metaChallenge = "mcp/www_authenticate"

// toolRefusal returns what a tool call that is refused for want of credentials or scopes has as its result.
//
// The challenge has an error code in either case. RFC 6750 §3.1 wants none in the response to a request without credentials, but
// ChatGPT shows no sign-in for a challenge without error and error_description, and its documentation has insufficient_scope
// there.
func (rs *ResourceServer) toolRefusal(why *refusal) *ToolRefusal {
	description := describeScope
	if why.outcome == OutcomeNoCredentials {
		description = describeNoCredentials
	}
	c := challenge{metadataURL: rs.metadataURL, scope: strings.Join(rs.challenged(why), " ")}
	return &ToolRefusal{
		Text: "The call was refused: " + description + ".",
		Meta: map[string]any{metaChallenge: []string{c.value("insufficient_scope", description)}},
	}
}

// replyToMessage is replyTo for a request whose body was read. If the body is the call of a tool, and the client looks for
// challenges in results, the reply is the result of the call.
func (rs *ResourceServer) replyToMessage(r *http.Request, body string, why *refusal) *Reply {
	challenges := why.outcome == OutcomeNoCredentials || why.outcome == OutcomeInsufficientScope
	if !challenges || r.Method != http.MethodPost || !rs.resultClients.has(r) {
		return rs.replyTo(why)
	}
	id, ok := operation.CallID(body)
	if !ok {
		return rs.replyTo(why)
	}
	reply := rs.toolRefusal(why).reply(id)
	return &reply
}

// reply returns the response to a call with this id, which is JSON.
func (t *ToolRefusal) reply(id string) Reply {
	content := encodeObject([]member{{"type", "text"}, {"text", t.Text}})
	result := encodeObject([]member{
		{"content", []json.RawMessage{content}},
		{"isError", true},
		{"resultType", "complete"}, // MCP 2026-07-28; earlier versions have results with any members
		{"_meta", t.Meta},
	})
	reply := jsonReply(http.StatusOK)
	reply.Body = []byte(`{"jsonrpc":"2.0","id":` + id + `,"result":` + string(result) + "}")
	return reply
}

// resultClients are the clients that look for challenges in the results of tool calls.
type resultClients struct {
	all      bool
	products map[string]bool // in lower case
}

func newResultClients(products []string) resultClients {
	c := resultClients{products: make(map[string]bool, len(products))}
	for _, product := range products {
		c.all = c.all || product == "*"
		c.products[strings.ToLower(product)] = true
	}
	return c
}

// has reports whether the client that sent r is one of them. A User-Agent has products, each with or without a version, and
// comments in parentheses.
func (c *resultClients) has(r *http.Request) bool {
	if c.all || len(c.products) == 0 {
		return c.all
	}
	comments := 0 // how many are open
	for word := range strings.FieldsSeq(r.UserAgent()) {
		name, _, _ := strings.Cut(word, "/")
		if comments == 0 && c.products[strings.ToLower(name)] {
			return true
		}
		comments = max(0, comments+strings.Count(word, "(")-strings.Count(word, ")"))
	}
	return false
}
