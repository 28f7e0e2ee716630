package browser

import (
	"os"
	"testing"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Run(m)) }
