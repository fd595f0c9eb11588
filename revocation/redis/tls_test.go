package mcpauthrevocationredis_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestR103TLS has a server that takes TLS with a password alone.
func TestR103TLS(t *testing.T) {
	t.Parallel()
	made := httptest.NewTLSServer(nil) // for its certificate, which is for 127.0.0.1
	made.Close()
	pair := made.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, append([]string{"--requirepass", "secret"}, durable...)...)
	s.kill()
	s.args = append(s.args, "--tls-port", s.port, "--port", "0", "--tls-cert-file", filepath.Join(dir, "cert.pem"),
		"--tls-key-file", filepath.Join(dir, "key.pem"), "--tls-ca-cert-file", filepath.Join(dir, "cert.pem"), "--tls-auth-clients", "no")
	s.run()
	roots := x509.NewCertPool()
	roots.AddCert(made.Certificate())
	r := newReplica(t, s.client(func(o *redis.Options) {
		o.Password, o.TLSConfig = "secret", &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}), nil)
	r.ready()
	r.revoke("usr_1")
}
