package operation

import "github.com/scalekit-mcp/mcpauth/core/internal/strictjson"

// CallID returns the id of the call of a tool, as it stands in body: its answer has to have the same. ok is false if body is
// anything else than one such call, with an id that is a string of up to 8 KiB or a number, and if it could be read in two ways.
func CallID(body string) (id string, ok bool) {
	r := reader{strictjson.NewReader(body, limits)}
	var version, method string
	var p params
	err := r.Object(func(name string) (err error) {
		switch name {
		case "jsonrpc":
			version, err = r.Text()
		case "id":
			id, err = r.id()
		case "method":
			method, err = r.Text()
		case "params":
			p, err = r.params()
		default:
			err = r.other(name, "jsonrpc", "id", "method", "params", "result", "error")
		}
		return err
	})
	isCall := err == nil && r.End() == nil && version == "2.0" && method == "tools/call" && p.name.text != ""
	if !isCall || id == "" || len(id) > maxNameBytes {
		return "", false
	}
	return id, true
}

// id reads the id of a message, and returns it as JSON. It reads null and values of other types too, and returns "".
func (r reader) id() (string, error) {
	if kind := r.Peek(); kind != strictjson.KindText && kind != strictjson.KindNumber {
		return "", r.Skim()
	}
	return r.Raw()
}
