package webhook

import "testing"

// The example of the Standard Webhooks specification.
func TestSign(t *testing.T) {
	t.Parallel()
	key, err := Key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	if key, err := Key(NewSecret()); err != nil || len(key) != 32 {
		t.Errorf("a new secret: %d bytes, %v", len(key), err)
	}
	for _, secret := range []string{"", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqr\nTwjUPD8ILPZIo2LaLaSw"} {
		if _, err := Key(secret); err == nil {
			t.Errorf("%q is taken for a secret", secret)
		}
	}
}
