package signals_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// TestMutantsAreCaught is that of the root package, for the receivers of logouts.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, map[string]mutation.Mutant{
		"logout: nothing is revoked": {
			File: "backchannel.go", Tests: "TestEnds TestRedelivery TestProviders",
			Edits: []string{"		return end(tx)\n", "		_ = end\n		return nil\n"},
		},
		"logout: a repeat is refused": {
			File: "backchannel.go", Tests: "TestRedelivery TestConcurrentDeliveries TestDeliveriesRace",
			Edits: []string{"	if errors.Is(err, revoke.ErrRevoked) {\n		return nil", "	if false {\n		return nil"},
		},
		"logout: the token is spent beside the transaction": {
			File: "backchannel.go", Tests: "TestLogoutIsOneTransaction",
			Edits: []string{"if err := tx.Redeem(ctx, spent, b.record...)", "if err := b.store.Redeem(ctx, spent, b.record...)"},
		},
		"logout: a session is ended where tokens carry none": {
			File: "backchannel.go", Tests: "TestNewBackChannelLogoutRefuses TestEndsThroughSet",
			Edits: []string{"case !e.validator.RequiresSession(issuer):", "case false:"},
		},
		"logout: a session that was logged out may not be forgotten": {
			File: "backchannel.go", Tests: "TestEndUserOf",
			Edits: []string{
				"user, unknown = b.ends.userOf(ctx, revoke.Session{Issuer: issuer, ID: token.session})\n",
				"if user, unknown = b.ends.userOf(ctx, revoke.Session{Issuer: issuer, ID: token.session}); unknown != nil {\n				return unknown\n			}\n",
			},
		},
		"logout: an outage makes a session unknown": {
			File: "backchannel.go", Tests: "TestEndUserOf",
			Edits: []string{"case errors.Is(err, ErrUnknownUser) && !errors.Is(err, revoke.ErrUnavailable):", "case errors.Is(err, ErrUnknownUser):"},
		},
		"logout: an error of the app's says that it was carried out": {
			File: "backchannel.go", Tests: "TestEndUserOf TestResolverFails",
			Edits: []string{"	if errors.Is(err, revoke.ErrRevoked) || errors.Is(err, revoke.ErrInvalidToken) {\n		return errors.New", "	if false {\n		return errors.New"},
		},
		"logout: an outage refuses the token": {
			File: "backchannel.go", Tests: "TestStoreRefuses",
			Edits: []string{"if errors.Is(err, revoke.ErrInvalidToken) && !errors.Is(err, revoke.ErrUnavailable) {", "if errors.Is(err, revoke.ErrInvalidToken) {"},
		},
		"logout: it ends with its sender": {
			File: "options.go", Tests: "TestReceiverOutlastsItsSender TestGlobalRevocationOutlastsItsCaller",
			Edits: []string{"r, cancel := logout.Detach(r)", "cancel := func() {}"},
		},
		"logout token: of another client": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case !slices.ContainsFunc(claims.Audience,", "case false && !slices.ContainsFunc(claims.Audience,"},
		},
		"logout token: of another issuer": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case l.nameOf(claims.Issuer) != l.issuer:", "case false:"},
		},
		"logout token: an ID token is one": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case !claims.IsLogout:", "case false:"},
		},
		"logout token: a nonce is allowed": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case claims.HasNonce:", "case false:"},
		},
		"logout token: a claim is spelled in two ways": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{`case claims.Respelled != "":`, "case false:"},
		},
		"logout token: a clock may not be ahead": {
			File: "logouttoken.go", Tests: "TestLogoutToken TestLogoutLeavesLaterLogins",
			Edits: []string{"maxLogoutAhead = revoke.MaxIssuerSkew / 2", "maxLogoutAhead = 5 * time.Second"},
		},
		"logout token: a clock may be ahead by any span": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case t.issuedAt.After(now.Add(maxLogoutAhead)):", "case false:"},
		},
		"logout token: it expires without a leeway": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case !now.Before(t.expiresAt.Add(logoutLeeway)):", "case !now.Before(t.expiresAt):"},
		},
		"logout token: without exp it does not expire": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"maxLogoutAge = time.Hour", "maxLogoutAge = 24 * time.Hour"},
		},
		"logout token: a token that may be swept is redeemed": {
			File: "logouttoken.go", Tests: "TestLogoutToken",
			Edits: []string{"case t.expiresAt.Sub(t.issuedAt) > revoke.MaxTokenLifetime:", "case false:"},
		},
		"logout: sign-ins that follow it are refused": {
			File: "logouttoken.go", Tests: "TestLogoutInstant TestLogoutLeavesLaterLogins",
			Edits: []string{"received.Before(last) {", "false {"},
		},
		"logout: a token of the receipt's instant is accepted": {
			File: "logouttoken.go", Tests: "TestLogoutInstant",
			Edits: []string{"received = received.Add(time.Microsecond);", "received = received.Add(0);"},
		},
		"logout: a token of the logout's second is accepted": {
			File: "logouttoken.go", Tests: "TestLogoutInstant TestLogoutOfManyMachines",
			Edits: []string{"t.issuedAt.Add(time.Second + lag)", "t.issuedAt.Add(lag)"},
		},
		"logout: the provider's machines have one clock": {
			File: "logouttoken.go", Tests: "TestLogoutInstant TestLogoutOfManyMachines",
			Edits: []string{"t.issuedAt.Add(time.Second + lag)", "t.issuedAt.Add(time.Second + 0*lag)"},
		},
		"logout: a logout of the same jti was carried out": {
			File: "logouttoken.go", Tests: "TestSharedJTI",
			Edits: []string{"t.id, string(scope), name, strconv", "t.id, strconv"},
		},
		"logout: a revoked token of the same jti was a logout": {
			File: "logouttoken.go", Tests: "TestSharedJTI",
			Edits: []string{
				"return kind + \" \" + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))",
				"_ = base64.RawURLEncoding.EncodeToString(hash.Sum([]byte(kind)))\n	return parts[0]",
			},
		},
		"logout token: an outage of the keys refuses it": {
			File: "logouttoken.go", Tests: "TestKeysAreDown",
			Edits: []string{"if strictjwt.IsServerFault(err, revoke.ErrUnavailable) {", "if false {"},
		},
		"set: a receiver has a second opinion": {
			File: "backchannelset.go", Tests: "TestBackChannelLogoutSet",
			Edits: []string{
				"	if picked == nil {\n",
				"	for _, other := range s.receivers {\n		if picked == nil {\n			picked = other\n		}\n	}\n	if picked == nil {\n",
			},
		},
		"set: two receivers of one issuer": {
			File: "backchannelset.go", Tests: "TestNewBackChannelLogoutSetRefuses",
			Edits: []string{"if s.receivers[name] != nil {", "if false {"},
		},
		"assertion: it is spent beside the transaction": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationIsOneTransaction",
			Edits: []string{"if err := tx.Redeem(ctx, spent(user.Issuer,", "if err := g.store.Redeem(ctx, spent(user.Issuer,"},
		},
		"assertion: it is spent once for each user": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationOnce TestGlobalRevocationIsRepeated TestAssertionsRace",
			Edits: []string{"			return errSpent\n		} else if", "			_ = errSpent\n		} else if"},
		},
		"assertion: a repeat is refused": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationOnce TestGlobalRevocationIsRepeated TestGlobalRevocationIsOneTransaction",
			Edits: []string{"	if errors.Is(err, revoke.ErrRevoked) {\n		return nil", "	if false {\n		return nil"},
		},
		"assertion: one without an id is spent": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationAssertion",
			Edits: []string{`if assertion.ID == "" { // see`, "if false { // see"},
		},
		"assertion: the user is not logged out": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationOnce TestGlobalRevocationIsRepeated TestGlobalRevocationIsOneTransaction",
			Edits: []string{"		_, err := tx.RevokeUser(ctx, user, g.record...)\n		return err\n", "		return nil\n"},
		},
		"global revocation: an outage refuses the caller": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationAuthorizes",
			Edits: []string{"	case errors.Is(err, revoke.ErrUnavailable):\n		return err\n	case errors.Is(err, revoke.ErrInvalidToken), ", "	case errors.Is(err, revoke.ErrInvalidToken), "},
		},
		"global revocation: an outage makes a user unknown": {
			File: "globalrevocation.go", Tests: "TestResolverFails",
			Edits: []string{"	case errors.Is(err, revoke.ErrUnavailable):\n		return err\n	case errors.Is(err, ErrUnknownUser):", "	case errors.Is(err, ErrUnknownUser):"},
		},
		"global revocation: a user of any issuer is named": {
			File: "globalrevocation.go", Tests: "TestGlobalRevocationBody TestGlobalRevocationWithoutResolver",
			Edits: []string{`case id.Format == "iss_sub" && slices.Contains(g.issuers, g.issuerNamed(id.Issuer)):`, `case id.Format == "iss_sub":`},
		},
		"global revocation: a member occurs twice": {
			File: "subject.go", Tests: "TestGlobalRevocationBody",
			Edits: []string{"if _, twice := members[name]; twice {", "if _, twice := members[name]; twice && false {"},
		},
		"global revocation: a member of another format": {
			File: "subject.go", Tests: "TestGlobalRevocationBody",
			Edits: []string{"if len(members) != len(wanted)+1 {", "if false {"},
		},
		"global revocation: two users are named": {
			File: "subject.go", Tests: "TestGlobalRevocationBody",
			Edits: []string{`case subject != "":`, "case false:"},
		},
		"ends: a logout of one session spares the others of the user": {
			File: "backchannel.go", Tests: "TestLogoutOfOneSessionEndsAll TestEnds",
			Edits: []string{`case b.ends.scope == revoke.ScopeSession && token.session != "":`, `case token.session != "":`},
		},
		"aliases: a logout under an alias is refused": {
			File: "logouttoken.go", Tests: "TestIssuerAliasesOfLogouts",
			Edits: []string{"case l.nameOf(claims.Issuer) != l.issuer:", "case claims.Issuer != l.issuer:"},
		},
		"aliases: a set does not know them": {
			File: "backchannelset.go", Tests: "TestIssuerAliasesOfLogouts TestNewBackChannelLogoutSetRefuses",
			Edits: []string{"slices.Sorted(maps.Keys(b.aliases))...", "slices.Sorted(maps.Keys(b.aliases))[:0]..."},
		},
		"aliases: a user is kept under an alias": {
			File: "globalrevocation.go", Tests: "TestIssuerAliasesOfGlobalRevocation",
			Edits: []string{"return revoke.User{Issuer: g.issuerNamed(id.Issuer),", "return revoke.User{Issuer: id.Issuer,"},
		},
		"aliases: those of another issuer are taken": {
			File: "options.go", Tests: "TestNewBackChannelLogoutRefuses TestNewGlobalTokenRevocationRefuses",
			Edits: []string{"!slices.Contains(issuers, issuer) {", "issuer == alias {"},
		},
	})
}
