package signals_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// TestNothingPlantedIsQuoted plants a marker in every place of a logout token and of a subject
// identifier, and looks for it in all answers and reports.
func TestNothingPlantedIsQuoted(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	var said []string
	report := signals.WithReport(func(_ *http.Request, err error) { said = append(said, testkit.Said(err)...) })
	t.Run("logout token", func(t *testing.T) {
		logout := testkit.Value(signals.NewBackChannelLogout(store, testkit.Issuer, []string{"api"}, testkit.Keyfunc("ES256"), es256,
			signals.EndUser(), report))(t)
		for _, token := range testkit.Planted(t, `"events":`+logoutEvents) {
			for _, r := range []*http.Request{delivery("logout_token=" + token.Text), delivery(token.Text)} {
				w := testkit.Serve(logout, r)
				said = append(said, fmt.Sprint(w.Code, w.Header(), w.Body))
			}
			testkit.WantUnplanted(t, token, said...)
			said = nil
			if t.Failed() {
				return
			}
		}
	})
	t.Run("subject identifier", func(t *testing.T) {
		faulty := revoketest.NewFaulty(store)
		faulty.Fail(http.ErrServerClosed)
		const m = testkit.Marker
		for _, resolve := range []signals.Resolver{nil, directory} {
			revocation := testkit.Value(signals.NewGlobalTokenRevocation(faulty, allowAll, []string{testkit.Issuer}, resolve, report))(t)
			for _, body := range []string{
				m, `"` + m + `"`, `{"` + m + `":1}`, `{"sub_id":"` + m + `"}`, `{"sub_id":{"` + m + `":"x"}}`, `{"sub_id":{"format":"` + m + `"}}`,
				`{"sub_id":{"format":"email","email":"` + m + `"}}`, `{"sub_id":{"format":"email","email":["` + m + `"]}}`,
				`{"sub_id":{"format":"email","email":"a","id":"` + m + `"}}`, `{"sub_id":{"format":"opaque","id":"` + m + `","id":"` + m + `"}}`,
				`{"sub_id":{"format":"iss_sub","iss":"` + m + `","sub":"` + m + `"}}`, `{"sub_id":{"format":"opaque","id":"` + strings.Repeat(m, 100) + `"}}`,
				`{"sub_id":{"format":"iss_sub","iss":"` + testkit.Issuer + `","sub":"` + m + `"}}`, `{"sub_id":{"format":"iss_sub","iss":"` + testkit.Issuer + `","sub":"` + m + `\u0000"}}`,
				`{"sub_id":{"format":"opaque","id":"` + m + `\ud800"}}`, "{\"sub_id\":{\"format\":\"opaque\",\"id\":\"" + m + "\xff\"}}", `{"sub_id":{"format":"opaque","id":"\` + m + `"}}`,
				`{"sub_id":` + m + `}`, `{"sub_id":{"format":"opaque","id":"x"}}` + m, `{"sub_id":{"format":"opaque","id":"x"},"sub_id":"` + m + `"}`,
			} {
				for _, media := range []string{"application/json", "text/" + m, m} {
					w := testkit.Serve(revocation, testkit.Post(media, body))
					said = append(said, fmt.Sprint(w.Code, w.Header(), w.Body))
				}
				testkit.WantUnplanted(t, testkit.PlantedToken{Name: body}, said...)
				said = nil
			}
		}
	})
}
