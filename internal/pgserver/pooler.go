//go:build linux || darwin

package pgserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed pooler.sh
var poolerScript string

// openPooler starts a PgBouncer before the server of a URL. PgBouncer logs in with the
// credentials of the URL for every client. No other user can read its files, which hold them.
func openPooler(ctx context.Context, address string, settings []string) (pooled string, stop func() error, err error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian puts it, which is not in every PATH
		if _, err := os.Stat(program); err != nil {
			return "", nil, errors.New("pgserver: no pgbouncer: install it (Debian: apt-get install pgbouncer)")
		}
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		// The cause is left out because it might quote the password.
		return "", nil, errors.New("pgserver: the URL of the server cannot be read")
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	server := fmt.Sprintf("%s = host=%s port=%d user=%s", config.Database, quote(config.Host), config.Port, quote(config.User))
	if config.Password != "" { // an empty one is a syntax error
		server += " password=" + quote(config.Password)
	}
	lines := append([]string{
		"[databases]",
		server,
		"[pgbouncer]",
		"unix_socket_dir = {dir}", // and no listen_addr, so no port to race for
		"listen_port = 6432",
		"auth_type = any",
		"pool_mode = transaction",
		"server_tls_sslmode = prefer",
	}, settings...)
	dir, exited, stop, err := startScript(poolerScript, strings.NewReader(strings.Join(lines, "\n")+"\n"), program)
	if err != nil {
		return "", nil, fmt.Errorf("pgserver: pgbouncer: %w", err)
	}
	query := url.Values{"host": {dir}, "port": {"6432"}, "user": {"anybody"}}
	pooled = "postgres:///" + url.PathEscape(config.Database) + "?" + query.Encode()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := awaitReady(ctx, pooled, exited); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return "", nil, errors.Join(fmt.Errorf("%w; the log of pgbouncer ends with: %s", err, tail(string(log))), stop())
	}
	return pooled, stop, nil
}
