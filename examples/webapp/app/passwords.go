package app

import (
	"context"
	"crypto/rand"
	"runtime"

	"github.com/alexedwards/argon2id"
)

// Argon2 is what a hash of a password costs: 19 MiB, two passes, one lane. It is the second of the
// equivalent choices in OWASP's Password Storage Cheat Sheet.
var Argon2 = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hasher hashes passwords and compares them with hashes. At most as many hashes are computed at a
// time as there are processors: more would take memory, and end no earlier.
type hasher struct {
	params argon2id.Params
	slots  chan struct{}
	absent string // the hash that stands in for a missing account
}

func newHasher(params argon2id.Params) (*hasher, error) {
	absent, err := argon2id.CreateHash(rand.Text(), &params)
	return &hasher{params: params, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), absent: absent}, err
}

// hash returns the text that the database stores for a password. It names its parameters.
func (h *hasher) hash(ctx context.Context, password string) (hash string, err error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	return argon2id.CreateHash(password, &h.params)
}

// matches reports whether the hash is of the password. Without a hash the answer is no, and takes
// as long as with one: so a caller does not learn by the time whether there is an account.
func (h *hasher) matches(ctx context.Context, password, hash string) (matches bool, err error) {
	if err := h.acquire(ctx); err != nil {
		return false, err
	}
	defer h.release()
	if hash == "" {
		_, err := argon2id.ComparePasswordAndHash(password, h.absent)
		return false, err
	}
	return argon2id.ComparePasswordAndHash(password, hash)
}

func (h *hasher) acquire(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) release() { <-h.slots }
