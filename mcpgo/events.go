package mcpauthmcpgo

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// An eventWriter drops notifications/tasks/status from event streams. mcp-go sends it to all users, with the text of the
// error that ended a task. A server need not send it (MCP 2025-11-25, "Task Status Notification").
type eventWriter struct{ http.ResponseWriter }

var taskStatus = []byte(`"` + mcp.MethodNotificationTasksStatus + `"`)

// Write is called by mcp-go with one event at a time.
func (w *eventWriter) Write(p []byte) (int, error) {
	if bytes.Contains(p, taskStatus) && methodOf(p) == mcp.MethodNotificationTasksStatus {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// methodOf returns the method of the message in an event, "" for all else.
func methodOf(event []byte) string {
	_, data, found := bytes.Cut(event, []byte("data: "))
	var message struct{ Method string }
	if !found || json.Unmarshal(data, &message) != nil {
		return ""
	}
	return message.Method
}

// Unwrap gives http.ResponseController the writer below.
func (w *eventWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for mcp-go, which looks for an http.Flusher.
func (w *eventWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
