package clients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// screenshots is where the last screenshot of the Inspector's page is kept, for people and for CI.
const screenshots = "../../.cache/clients"

func inspectorV1(t *testing.T, server *server) (string, error) {
	t.Helper()
	return inspectorPage(t, "v1", server)
}

func inspectorV2(t *testing.T, server *server) (string, error) {
	t.Helper()
	return inspectorPage(t, "v2", server)
}

func inspectorPage(t *testing.T, version string, server *server) (string, error) {
	t.Helper()
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		return "", err
	}
	framework := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
	screenshot := filepath.Join(screenshots, fmt.Sprintf("inspector-%s-%s.png", version, framework))
	if err := os.RemoveAll(screenshot); err != nil {
		return "", err
	}
	cmd := node(t, "inspector.mjs", version, server.URL, user, screenshot, chromium(t))
	cmd.Env = append(cmd.Env, "CLIENT_PORT="+server.page, "MCP_SANDBOX_PORT="+freePort(t))
	answer, err := lastLine(cmd.CombinedOutput())
	if err != nil {
		return "", err
	}
	if picture, err := os.Stat(screenshot); err != nil || picture.Size() < 10_000 {
		return "", fmt.Errorf("there is no screenshot: %v, %w", picture, err)
	}
	return answer, nil
}

// chromium finds the browser. Without one the test fails, because no other test would notice that CORS is broken.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium; install Debian's package chromium, or set CHROMIUM to its path")
	return ""
}
