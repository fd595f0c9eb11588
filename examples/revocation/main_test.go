package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// TestR103Demo runs the demo with a real Redis.
func TestR103Demo(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("MCPAUTH_REDIS") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no redis-server: install it (apt-get install redis-server) to run this test")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // it compiles the replica
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, &out, true); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if lines := regexp.MustCompile(`(?m)^Replica \d: refused after +\d+ ms, its stream was over after +\d+ ms$`).FindAllString(out.String(), -1); len(lines) != replicas {
		t.Errorf("the output has %d lines about replicas:\n%s", len(lines), &out)
	}
	t.Logf("\n%s", &out)
}
