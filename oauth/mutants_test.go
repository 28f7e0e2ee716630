package oauth_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// TestMutantsAreCaught is that of the root package, for the endpoints and for how a form is read.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, map[string]mutation.Mutant{
		"form: a parameter may stand in the URL": {
			File: "../internal/endpoint/request.go", Tests: "TestRFC7009Section2_1Request TestRFC7662Section2_1",
			Edits: []string{"case query.Has(name):", "case query.Has(name) && false:"},
		},
		"form: a parameter may occur twice": {
			File: "../internal/endpoint/request.go", Tests: "TestRFC7009Section2_1Request TestRFC7662Section2_1",
			Edits: []string{"case len(form[name]) > 1:", "case false:"},
		},
		"form: its type has no parameters": {
			File: "../internal/endpoint/request.go", Tests: "TestRFC7009Section2_1Request",
			Edits: []string{`got, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")`, `got := r.Header.Get("Content-Type")`},
		},
		"form: a body has no limit": {
			File: "../internal/endpoint/request.go", Tests: "TestRFC7009Section2_1Request",
			Edits: []string{"const maxBody = 64 << 10", "const maxBody = 64 << 20"},
		},
		"client: one without a secret is any client": {
			File: "client.go", Tests: "TestClientWithoutSecret",
			Edits: []string{`case c.secret == "" && !client.Public:`, "case false:"},
		},
		"client: the pair as it was sent comes first": {
			File: "client.go", Tests: "TestRFC6749Section2_3_1Order",
			Edits: []string{"return []credentials{decoded, raw}, true, nil", "return []credentials{raw, decoded}, true, nil"},
		},
		"client: only the decoded pair is tried": {
			File: "client.go", Tests: "TestRFC6749Section2_3_1Secrets TestRFC6749Section2_3_1Order",
			Edits: []string{"return []credentials{decoded, raw}, true, nil", "return []credentials{decoded}, true, nil"},
		},
		"client: an outage refuses it": {
			File: "client.go", Tests: "TestRFC6749Section2_3_1Order",
			Edits: []string{"case errors.Is(err, ErrInvalidClient) && !errors.Is(err, revoke.ErrUnavailable):", "case errors.Is(err, ErrInvalidClient):"},
		},
		"client: the same pair twice is two ways": {
			File: "client.go", Tests: "TestRFC6749Section2_3_1Secrets",
			Edits: []string{`body.secret != "" && c.secret != body.secret`, `body.secret != ""`},
		},
		"client: the secret in the body may be another": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client",
			Edits: []string{`body.secret != "" && c.secret != body.secret`, "false"},
		},
		"client: the id in the body may be another": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client",
			Edits: []string{"return c.id != body.id || ", "return "},
		},
		"client: a header of another scheme is passed over beside a secret": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client",
			Edits: []string{`case !isBasic && body.id != "" && body.secret == "":`, `case !isBasic && body.id != "":`},
		},
		"client: a header of another scheme is an authentication": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client",
			Edits: []string{`case !isBasic && body.id != "" && body.secret == "":`, "case !isBasic && false:"},
		},
		"client: the first of two headers counts": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client TestOneAuthorization",
			Edits: []string{`if n := len(r.Header.Values("Authorization")); n > 1 {`, `if n := len(r.Header.Values("Authorization")); n > 2 {`},
		},
		"client: a function may read the first of two headers": {
			File: "client.go", Tests: "TestOneAuthorization",
			Edits: []string{"if err := oneAuthorization(r); err != nil { // the", "if err := oneAuthorization(r); err != nil && false { // the"},
		},
		"client: an assertion is passed over": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client",
			Edits: []string{`case form.Get("client_assertion") != "": // RFC`, "case false: // RFC"},
		},
		"client: a NUL reaches the callback": {
			File: "client.go", Tests: "TestRFC6749Section5_2Client",
			Edits: []string{" || !isText(c.id) || !isText(c.secret)", ""},
		},
		"client: one without an id is one": {
			File: "client.go", Tests: "TestClientWithoutID",
			Edits: []string{"client.ID); err != nil {", "client.ID); err != nil && false {"},
		},
		"client: an outage of a function refuses it": {
			File: "client.go", Tests: "TestAuthenticateErrors TestAuthenticateByBearer",
			Edits: []string{
				"	case errors.Is(err, revoke.ErrUnavailable):\n		return Client{}, outage(",
				"	case errors.Is(err, revoke.ErrUnavailable):\n		return Client{}, invalidClient(err)\n	case false:\n		return Client{}, outage(",
			},
		},
		"client: a function does not see the form": {
			File: "client.go", Tests: "TestAuthenticateSeesTheForm",
			Edits: []string{"	r.Form, r.PostForm = form, form\n", "	_ = form\n"},
		},
		"introspection: a public client asks": {
			File: "request.go", Tests: "TestRFC7662Section2_1 TestAuthenticateErrors",
			Edits: []string{"if client.Public && e.constructor == newIntrospection {", "if false {"},
		},
		"introspection: a refresh token passes for an access token": {
			File: "introspection.go", Tests: "TestRFC7662Section4",
			Edits: []string{"if active.kind.refresh && active.client != client.ID {", "if false {"},
		},
		"introspection: a missing answer is an inactive token": {
			File: "introspection.go", Tests: "TestRFC7662Section2_3Unavailable TestVagueValidator",
			Edits: []string{"case isRefused(err), errors.Is(err, ErrNotAllowed):\n		e.Report", "case err != nil:\n		e.Report"},
		},
		"introspection: a claim passes for a member of the answer": {
			File: "introspection.go", Tests: "TestIntrospectionMembers",
			Edits: []string{"slices.AppendSeq(slices.Clone(reservedMembers), maps.Keys(members))", "slices.Collect(maps.Keys(members))"},
		},
		"introspection: a member is told from another by its case": {
			File: "introspection.go", Tests: "TestIntrospectionMembers",
			Edits: []string{"return strings.EqualFold(t, name)", "return strings.Compare(t, name) == 0"},
		},
		"introspection: the app adds what it withholds": {
			File: "introspection.go", Tests: "TestDisclosure",
			Edits: []string{
				`taken = append(taken, slices.DeleteFunc(slices.Clone(withheld), func(name string) bool { return name == "scope" })...)`, "_ = withheld",
			},
		},
		"introspection: nothing is withheld": {
			File: "introspection.go", Tests: "TestDisclosure",
			Edits: []string{"		delete(members, name)\n", "		_ = name\n"},
		},
		"introspection: the limits of a token are withheld": {
			File: "introspection.go", Tests: "TestDisclosure",
			Edits: []string{"if slices.Contains(limits, name) {", "if false {"},
		},
		"introspection: the app's error withholds the token": {
			File: "introspection.go", Tests: "TestIntrospectionMembers",
			Edits: []string{"if errors.Is(err, ErrNotAllowed) || errors.Is(err, revoke.ErrInvalidToken)", "if errors.Is(err, revoke.ErrInvalidToken)"},
		},
		"endpoints: the answer of another endpoint is this one's": {
			File: "introspection.go", Tests: "TestAnswerOfAnotherEndpoint",
			Edits: []string{" ||\n		errors.As(err, new(*endpoint.Error)) {", " {"},
		},
		"introspection: a scope with a space passes for two": {
			File: "claims.go", Tests: "TestScopeArray",
			Edits: []string{` || slices.ContainsFunc(list, isNoScope) {`, " || slices.ContainsFunc(list, isNoScope) && false {"},
		},
		"introspection: a scope that is an array is left out": {
			File: "claims.go", Tests: "TestScopeArray",
			Edits: []string{`	return strings.Join(list, " ")`, `	return ""`},
		},
		"introspection: any member of cnf is DPoP's": {
			File: "claims.go", Tests: "TestTokenType",
			Edits: []string{"bound = bound || name == member && value", "bound = bound || value"},
		},
		"introspection: the key of a token is left out": {
			File: "introspection.go", Tests: "TestTokenType",
			Edits: []string{`if f.claims.isObject("cnf") {`, "if false {"},
		},
		"claims: a client that is no text is none": {
			File: "claims.go", Tests: "TestClientClaim",
			Edits: []string{"	if err != nil {\n		return \"\", invalidClaims(err)\n	}\n	return id, nil", "	if err != nil {\n		return \"\", nil\n	}\n	return id, nil"},
		},
		"tokens: a refusal outweighs an outage": {
			File: "tokens.go", Tests: "TestVagueValidator TestRFC7009Section2_2_1Unavailable",
			Edits: []string{"case unknown == nil || !isRefused(err):", "case unknown == nil:"},
		},
		"revocation: a token is any client's": {
			File: "tokens.go", Tests: "TestRFC7009Section2_1OtherClient TestClientClaim",
			Edits: []string{`return f.kind.clientClaim == "" || f.client == client.ID`, `return f.kind.clientClaim == "" || f.client != client.ID+"!"`},
		},
		"revocation: a public client learns of other clients' tokens": {
			File: "revocation.go", Tests: "TestRFC7009Section2_1OtherClient",
			Edits: []string{"		if client.Public {", "		if false {"},
		},
		"revocation: the session of a refresh token goes on": {
			File: "revocation.go", Tests: "TestRFC7009Section2_1Hint TestRFC7009Section2_1Grant",
			Edits: []string{"presented.kind.refresh || e.wholeSession", "e.wholeSession"},
		},
		"revocation: the session goes on with WithWholeSession": {
			File: "revocation.go", Tests: "TestRFC7009Section2_1Grant",
			Edits: []string{"presented.kind.refresh || e.wholeSession", "presented.kind.refresh"},
		},
		"revocation: it ends with its client": {
			File: "revocation.go", Tests: "TestRevocationOutlastsItsClient",
			Edits: []string{"r, cancel := logout.Detach(r)", "r, cancel := r, func() {}"},
		},
		"revocation: an outage is a token that does not exist": {
			File: "revocation.go", Tests: "TestVagueValidator",
			Edits: []string{"return !errors.Is(err, revoke.ErrUnavailable) && (errors", "return (errors"},
		},
		"revocation: what cannot be revoked is answered 200": {
			File: "revocation.go", Tests: "TestRFC7009Section2_2_1Unsupported",
			Edits: []string{`return unsupported("tokens of this type cannot be revoked")`, "return nil"},
		},
		"revocation: a token without an id is answered 200": {
			File: "revocation.go", Tests: "TestRFC7009Section2_2_1Unsupported",
			Edits: []string{`return unsupported("tokens without an id cannot be revoked")`, "return nil"},
		},
		"token: a client refreshes what another one was issued": {
			File: "token.go", Tests: "TestTokenClients TestTokenIsBoundToItsClient",
			Edits: []string{"	device.Client = client.ID\n", "	_ = client\n"},
		},
		"token: an outage refuses the token": {
			File: "token.go", Tests: "TestTokenRefuses TestTokenWaits",
			Edits: []string{"		if isRefused(err) {\n", "		if err != nil {\n"},
		},
		"token: a client that is not authenticated refreshes": {
			File: "request.go", Tests: "TestRFC6749Section5_2",
			Edits: []string{"	return client, form, err\n", "	return client, form, nil\n"},
		},
		"token: a refresh token may stand in the URL": {
			File: "token.go", Tests: "TestRFC6749Section5_2",
			Edits: []string{`e.form(w, r, "grant_type", "refresh_token", "scope")`, `e.form(w, r, "grant_type", "scope")`},
		},
		"token: any grant is a refresh": {
			File: "token.go", Tests: "TestRFC6749Section5_2",
			Edits: []string{`case grant != "refresh_token":`, `case grant == "x":`},
		},
		"token: one that expires at once does not expire": {
			File: "token.go", Tests: "TestRFC6749Section5_1",
			Edits: []string{"max(1, int64(", "max(0, int64("},
		},
	})
}
