package revoke

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// ClaimNames are the claims in which an issuer writes the identity of its tokens: see
// [WithClaimNames]. An empty name stands for the registered one.
type ClaimNames struct {
	ID      string // in place of jti: Entra's "uti"
	Subject string // in place of sub: Entra's "oid", Okta's "uid", simplejwt's "user_id"
	Session string // in place of sid: Supabase's "session_id", Cognito's "origin_jti"

	// Numbers accepts a number in each of the three, under its registered name too. It counts as
	// its digits, exactly as they are written: 42 and "42" are one id. A number with a sign, a
	// fraction or an exponent is refused, because one number would then be several ids.
	Numbers bool
}

// registeredNames are the claims in which RFC 7519 and OpenID Connect have the identity.
var registeredNames = ClaimNames{ID: "jti", Subject: "sub", Session: "sid"}

// WithClaimNames reads the identity of tokens of third parties from other claims, as strictly as
// from jti, sub and sid: once, in exactly this spelling, of the right type and length. The
// registered claim that is replaced has no effect; it must still occur only once. A name that is
// registered for something else, such as "exp", is an error, and so is a name that is given
// twice, also in other letter case, as encoding/json would read it.
//
// A named session is one for the app too, so by default a logout ends it: see
// [Validator.LogoutScopes].
//
// Users, sessions and tokens are revoked by what these claims hold: User.Subject is the oid of
// Entra's user and not its sub. jwt.WithSubject, and the getters that a keyfunc sees, go by them
// too. A back-channel logout (package signals) reads the sub and sid of
// the logout token. It ends only tokens that hold the same in the claims that are named here.
func WithClaimNames(names ClaimNames) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		given := [...]struct{ name, registered, of string }{
			{names.ID, registeredNames.ID, "the id"},
			{names.Subject, registeredNames.Subject, "the subject"},
			{names.Session, registeredNames.Session, "the session"},
		}
		for i, claim := range given {
			if claim.name == "" {
				given[i].name = claim.registered
				continue
			}
			if err := checkClaimName(claim.name, claim.registered); err != nil {
				return fmt.Errorf("the claim of %s: %w", claim.of, err)
			}
			for _, other := range given[:i] {
				if strings.EqualFold(claim.name, other.name) {
					return fmt.Errorf("%q is the claim of %s and of %s", claim.name, other.of, claim.of)
				}
			}
		}
		c.namedSession = names.Session != ""
		c.names = ClaimNames{ID: given[0].name, Subject: given[1].name, Session: given[2].name, Numbers: names.Numbers}
		return nil
	})
}

// checkClaimName reports what is wrong with the name of a claim that replaces a registered one.
func checkClaimName(name, registered string) error {
	if err := strictjwt.CheckID("its name", name); err != nil || name == registered {
		return err
	}
	taken := append(strictjwt.Registered(), strictjwt.EpochClaim, "events", strictjwt.ConfirmationClaim, strictjwt.ActorClaim)
	for _, taken := range taken {
		if strings.EqualFold(name, taken) {
			return fmt.Errorf("the name %q is that of %q, which has a meaning of its own", name, taken)
		}
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
		return fmt.Errorf("the name %q cannot stand in JSON without an escape", name)
	}
	return nil
}

// WithoutSession ignores sid: for issuers that write into it what is no session, such as a user's
// or a team's id, so that one logout would shut a whole team out for [MaxTokenLifetime]. No
// revocation of a session reaches the tokens, and [Verified] has no SessionID. It cannot be
// combined with [WithRequiredSession] or a ClaimNames.Session.
func WithoutSession() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.withoutSession = true; return nil })
}

// WithDerivedID accepts tokens of third parties that have no jti, or none of the claim that
// [WithClaimNames] puts in its place, and knows each by the SHA-256 of its signed part, the
// header and the payload as they were signed: "sha256:" and base64url without padding. Such a
// token can be revoked by itself, with what [Validator.Identify] and [Validator.Validate]
// return. Where there is a jti, it is the id.
//
// The signed part has one spelling: the signature is over exactly these bytes. Other spellings of
// the signature, such as ECDSA's second one, are no part of it. Two tokens that an issuer makes
// alike in every claim are one token, and end together. An issuer chooses its jtis, and could
// choose one that looks like a derived id: then that token and the one with this hash end
// together, as two tokens of one jti do. No other issuer's token can: an id counts within its
// issuer.
func WithDerivedID() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.derivedID = true; return nil })
}

// WithIssuerAliases accepts further spellings of the issuer's name in iss, such as
// "accounts.google.com" for "https://accounts.google.com", or a second host name of a server. They
// are names of one issuer, with the same keys and the same users: Token.Issuer is always the
// name that the validator was given, and all revocations are kept under that.
func WithIssuerAliases(names ...string) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if len(names) == 0 {
			return errors.New("no issuer alias is named")
		}
		for _, name := range names {
			if err := strictjwt.CheckID("issuer alias", name); err != nil {
				return err
			}
		}
		c.aliases = append(c.aliases, names...)
		return nil
	})
}

// ForeignOptions returns the names of the options of this validator that are for tokens of third
// parties: those by which it accepts a token that lacks a claim or is bound to a key, or reads the
// identity otherwise than from jti, sub and sid. A package that mints tokens, and hands out the
// validator of them, refuses these.
func (v *Validator) ForeignOptions() (names []string) {
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"WithClaimNames", v.names != registeredNames},
		{"WithoutSession", v.withoutSession},
		{"WithDerivedID", v.derivedID},
		{"WithIssuerAliases", len(v.aliases) > 0},
		{"WithOptionalID", v.optional.id},
		{"WithOptionalSubject", v.optional.subject},
		{"WithOptionalIssuedAt", v.optional.issuedAt},
		{"WithOptionalIssuer", v.optional.issuer},
		{"WithOptionalEpochClaim", v.optional.epochs},
		{"WithRequiredSessionExcept", v.sessionless != nil},
		{"WithBoundTokens", v.boundTokens},
		{"WithPaddedTokens", v.form.Padded},
	} {
		if option.given {
			names = append(names, option.name)
		}
	}
	return names
}

// checkIdentity reports options of the identity that contradict each other.
func (v *Validator) checkIdentity() (err error) {
	if v.withoutSession && v.session {
		err = oneline.Join(err, errors.New("WithoutSession and WithRequiredSession contradict each other"))
	}
	if v.withoutSession && v.namedSession {
		err = oneline.Join(err, errors.New("WithoutSession and ClaimNames.Session contradict each other"))
	}
	for i, alias := range v.aliases {
		if alias == v.issuer || slices.Contains(v.aliases[:i], alias) {
			err = oneline.Join(err, fmt.Errorf("the issuer is named %q twice", alias))
		}
	}
	return err
}

// isNamed reports whether the issuer has this name.
func (v *Validator) isNamed(issuer string) bool {
	return issuer == v.issuer || slices.Contains(v.aliases, issuer)
}

// allNames returns every iss that the validator accepts.
func (v *Validator) allNames() []string { return append([]string{v.issuer}, v.aliases...) }

// claimsToRead returns the claims that are read in another way than their names say, and those
// that are read in addition to the registered ones.
func (v *Validator) claimsToRead() []strictjwt.Claim {
	list := []strictjwt.Claim{
		{Name: "iss", As: "iss", Optional: v.optional.issuer},
		{Name: "iat", As: "iat", Optional: v.optional.issuedAt},
		{Name: "aud", As: "aud", Optional: v.audience.any},
		// The named ones come after these, and take their place where the names are the same.
		{Name: registeredNames.ID},
		{Name: registeredNames.Subject},
		{Name: registeredNames.Session},
		{Name: v.names.ID, As: "jti", Optional: v.optional.id || v.derivedID, Number: v.names.Numbers},
		{Name: v.names.Subject, As: "sub", Optional: v.optional.subject, Number: v.names.Numbers},
	}
	if !v.withoutSession {
		list = append(list, strictjwt.Claim{Name: v.names.Session, As: "sid", Optional: !v.session || v.sessionless != nil, Number: v.names.Numbers})
	}
	list = append(list, strictjwt.Named(strictjwt.ConfirmationClaim, strictjwt.ActorClaim)...)
	if v.epochClaim {
		list = append(list, strictjwt.Named(strictjwt.EpochClaim)...)
	}
	return list
}

// derivedID returns the id of a token that has none: see WithDerivedID. The text has been
// verified.
func derivedID(text string) string {
	sum := sha256.Sum256([]byte(text[:strings.LastIndexByte(text, '.')]))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}
