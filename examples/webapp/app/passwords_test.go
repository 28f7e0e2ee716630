package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// TestHasher compares passwords with hashes, and with the hash of a missing account, which has the
// same parameters.
func TestHasher(t *testing.T) {
	t.Parallel()
	h := testkit.Value(newHasher(cheap))(t)
	hash := testkit.Value(h.hash(t.Context(), password))(t)
	for _, test := range []struct {
		password, hash string
		want           bool
	}{{password, hash, true}, {changed, hash, false}, {password, "", false}} {
		if got := testkit.Value(h.matches(t.Context(), test.password, test.hash))(t); got != test.want {
			t.Errorf("%q matches %q: %v", test.password, test.hash, got)
		}
	}
	for _, hash := range []string{hash, h.absent} {
		params, _, _, err := argon2id.DecodeHash(hash)
		if err != nil || *params != cheap {
			t.Errorf("%q has the parameters %v, %v", hash, params, err)
		}
	}
	if _, err := h.matches(t.Context(), password, "no hash"); err == nil {
		t.Error("a text that is no hash is compared")
	}
}

// TestMissingAccount compares the password for a name without an account with a hash too. That hash
// is broken here, so that the comparison shows.
func TestMissingAccount(t *testing.T) {
	t.Parallel()
	a, app := newApp(t)
	a.hasher.absent = "no hash"
	b := newBrowser(app)
	b.signUp(t, "ada")
	b.signIn(t, "ada", password)
	b.shows(t, 503, "Try again in a moment", "POST", "/sign-in", "name", "bob", "password", password)
}

// TestHashesAreBounded waits for a slot until the request ends.
func TestHashesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := testkit.Value(newHasher(cheap))(t)
		for range cap(h.slots) {
			testkit.Must(t, h.acquire(t.Context()))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.hash(ctx, password); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one hash too many at a time gives %v", err)
		}
		h.release()
		if _, err := h.hash(t.Context(), password); err != nil {
			t.Error(err)
		}
	})
}

// TestGuesses guesses by one name, from one address, and by one name from many addresses.
func TestGuesses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	g := newGuesses()
	g.now = func() time.Time { return now }
	allowed := func(name, address string, attempts int) (n int) {
		for range attempts {
			if g.try(name, address) == 0 {
				n++
			}
		}
		return n
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d are allowed, want %d", what, got, want)
		}
	}
	want("one name from one address", allowed("ada", "1", 10), 5)
	if wait := g.try("ada", "1"); wait != time.Minute {
		t.Errorf("the next one is allowed in %v", wait)
	}
	want("the same name from another address", allowed("ada", "2", 10), 5)
	now = now.Add(2 * time.Minute)
	want("two minutes later", allowed("ada", "1", 10), 2)
	g.succeeded("ada", "1")
	want("after the right password", allowed("ada", "1", 10), 1)
	names := 0
	for i := range 100 {
		names += allowed(fmt.Sprint("name", i), "3", 1)
	}
	want("many names from one address", names, 50)
	addresses := 0
	for i := range 200 {
		addresses += allowed("bob", fmt.Sprint("address", i), 1)
	}
	want("one name from many addresses", addresses, 100)
	now = now.Add(24 * time.Hour)
	for i := range 2000 {
		g.try("", fmt.Sprint("address", i))
		now = now.Add(time.Second)
	}
	if len(g.due) > 1100 {
		t.Errorf("%d keys are kept of guesses that are long paid for", len(g.due))
	}
}

// TestTooManyGuesses refuses the right password too, and says until when.
func TestTooManyGuesses(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	b := newBrowser(app)
	b.signUp(t, "ada")
	for range paceOfBoth.burst {
		b.shows(t, 200, "The name or the password is wrong.", "POST", "/sign-in", "name", "ada", "password", "wrong")
	}
	b.shows(t, 429, "Try again in a minute.", "POST", "/sign-in", "name", "ada", "password", password)
	b.shows(t, 429, "Try again in a minute.", "POST", "/password", "password", password, "new-password", changed)
	b.shows(t, 200, "This device", "GET", "/")
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::/64", "": "",
	} {
		if got := network(session.Device{Address: address}); got != want {
			t.Errorf("%q is in %q, want %q", address, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for userAgent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0":                                      "Firefox on Windows false",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36": "Chrome on Android true",
		"curl/8.5.0": "Unknown device false", "": "Unknown device false",
	} {
		label, small := describe(userAgent)
		if got := fmt.Sprint(label, " ", small); got != want {
			t.Errorf("%q is %s, want %s", userAgent, got, want)
		}
	}
	for ago, want := range map[time.Duration]string{
		0: "used within the hour", 59 * time.Minute: "used within the hour", time.Hour: "used an hour ago",
		47 * time.Hour: "used 47 hours ago", 49 * time.Hour: "used 2 days ago",
	} {
		if got := lastUsed(ago); got != want {
			t.Errorf("%v ago is %q, want %q", ago, got, want)
		}
	}
}
