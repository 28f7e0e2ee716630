package session_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

func TestMain(m *testing.M) { pgserver.Main(m) }
