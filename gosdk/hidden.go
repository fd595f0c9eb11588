package mcpauthgosdk

import "net/http"

// A hiddenAnswerer is a [mcpauth.HiddenAnswerer]: behind it is the go-sdk, which takes the operation of a message from its
// body and answers for names that it does not know.
type hiddenAnswerer struct{ http.HandlerFunc }

// AnswersHidden tells RequireOperations that hidden operations may be handed on, under other names.
func (hiddenAnswerer) AnswersHidden() {}
