package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun starts the program, opens a page at the address that it prints, and ends it.
func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	printed, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, 0, out)
		_ = out.Close()
	}()
	address := ""
	for lines := bufio.NewScanner(printed); address == "" && lines.Scan(); {
		if text := strings.TrimSpace(lines.Text()); strings.HasPrefix(text, "http://") {
			address = text
		}
	}
	if address == "" {
		t.Fatal(<-ended)
	}
	go func() { _, _ = io.Copy(io.Discard, printed) }()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	request := testkit.Value(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))(t)
	request.Header.Set("Accept", "text/html")
	answer, err := client.Do(request)
	testkit.Must(t, err)
	page := string(testkit.Value(io.ReadAll(answer.Body))(t))
	testkit.Must(t, answer.Body.Close())
	if answer.StatusCode != http.StatusOK || !strings.Contains(page, "Welcome back.") {
		t.Errorf("the first page is %d: %s", answer.StatusCode, page)
	}
	stop()
	testkit.Must(t, <-ended)
}
