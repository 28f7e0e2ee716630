// Package circumstances holds what every answer about revocations says of itself, for the
// packages revoke and mirror.
package circumstances

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Circumstances say under which an answer was given, by what was true when its snapshot
// was taken.
type Circumstances struct {
	answered   bool // there was a row
	inRecovery bool // the server is a standby
	readOnly   bool // the transaction is
	fenced     bool // default_transaction_read_only is on
	hidden     bool // row-level security applies to this role
	isolated   bool // the snapshot is that of a transaction which is not READ COMMITTED
}

// SQL is an expression of type text for the circumstances of a statement that reads the
// table revocations of this schema, and the others that are named.
func SQL(schema string, others ...string) string {
	var hidden []string
	for _, table := range append([]string{"revocations"}, others...) {
		hidden = append(hidden, `pg_catalog.row_security_active('"`+schema+`".`+table+`'::pg_catalog.regclass::pg_catalog.oid)`)
	}
	return sql(strings.Join(hidden, " OR "))
}

// SQLOf is SQL for a table by its oid, an expression that may be null.
func SQLOf(oid string) string {
	return sql("coalesce(pg_catalog.row_security_active(" + oid + "), false)")
}

func sql(hidden string) string {
	return strings.ReplaceAll(`pg_catalog.concat(pg_catalog.pg_is_in_recovery(),
pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on',
pg_catalog.current_setting('default_transaction_read_only') OPERATOR(pg_catalog.=) 'on',
{hidden},
pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed')`, "{hidden}", hidden)
}

// Length is that of the value of SQL, which has a t or an f for each circumstance.
const Length = 5

// Read reads the value of SQL.
func (c *Circumstances) Read(text string) error {
	if len(text) != Length || strings.Trim(text, "tf") != "" {
		return fmt.Errorf("the database answered with the circumstances %q", text)
	}
	is := func(i int) bool { return text[i] == 't' }
	*c = Circumstances{answered: true, inRecovery: is(0), readOnly: is(1), fenced: is(2), hidden: is(3), isolated: is(4)}
	return nil
}

// The reasons for which an answer is not used.
var (
	ErrStandby = errors.New("a standby answered, which may not know the latest revocations; " +
		"connect to the primary, for instance with target_session_attrs=read-write")
	ErrHidden = errors.New("row-level security hides rows of revocations from this role; " +
		"let it own the table, give it BYPASSRLS, or disable row-level security on the table")
	ErrFenced = errors.New("default_transaction_read_only is on, as on a server that a switchover has fenced; " +
		"if the app itself sets it, see WithReadOnlyConnections")
	ErrNoRow = errors.New("the database answered without a row")
)

// Answered reports whether there was a row.
func (c Circumstances) Answered() bool { return c.answered }

// Isolated reports whether the transaction was not READ COMMITTED, so that its snapshot
// may be older than its wait for a lock.
func (c Circumstances) Isolated() bool { return c.isolated }

// Doubt returns why the answer to a caller's transaction is not used, nil where it is.
// The isolation of that transaction is the caller's.
func (c Circumstances) Doubt() error {
	switch {
	case !c.answered:
		return ErrNoRow
	case c.inRecovery:
		return ErrStandby
	case c.hidden:
		return ErrHidden
	}
	return nil
}

// DoubtOwn is Doubt for a statement in no transaction, or in one of ours. A transaction
// that began on a standby stays read-only when that is promoted, and its snapshot may be
// from before.
func (c Circumstances) DoubtOwn(readOnlyConnections bool) error {
	if err := c.Doubt(); err != nil {
		return err
	}
	switch {
	case c.fenced && !readOnlyConnections:
		return ErrFenced
	case c.readOnly:
		return ErrStandby
	}
	return nil
}

// Spoils reports whether an error says that a connection is to be closed, and not given
// back to its pool. It may lead to a server that is no primary, or is one no more: the
// next connection may find the primary. Or it may keep a plan that leaves rows out:
// Postgres does not plan anew when the role gets BYPASSRLS, and row_security_active() is
// false from then on.
func Spoils(err error, readOnlyConnections bool) bool {
	if errors.Is(err, ErrStandby) || errors.Is(err, ErrFenced) || errors.Is(err, ErrHidden) {
		return true
	}
	var pgErr *pgconn.PgError
	// read_only_sql_transaction; feature_not_supported is how a server in recovery
	// refuses READ WRITE.
	return errors.As(err, &pgErr) && (pgErr.Code == "25006" || readOnlyConnections && pgErr.Code == "0A000")
}

// fenceOff matches how a parameter, or an option of the options parameter, turns the
// fence of a switchover off, in each spelling that Postgres takes for false.
var fenceOff = regexp.MustCompile(`(?i)default[-_]transaction[-_]read[-_]only\s*=\s*(of|off|f|fa|fal|fals|false|n|no|0)(\s|$)`)

// CheckFence refuses connections that would write to a server that a switchover has fenced by
// default_transaction_read_only.
func CheckFence(parameters map[string]string) error {
	for name, value := range parameters {
		setting := name + "=" + value
		if name == "options" {
			setting = strings.ReplaceAll(value, `\`, "") // which escapes the next character
		}
		if fenceOff.MatchString(setting) {
			return errors.New("the parameters of the connections turn default_transaction_read_only off, " +
				"so that they would write to a server that a switchover has fenced; leave the setting to the server")
		}
	}
	return nil
}

// OfRowSecurity reports whether an error is row-level security's. A missing privilege has
// the same code, and the message may be in any language.
func OfRowSecurity(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Routine == "check_enable_rls" || pgErr.Routine == "ExecWithCheckOptions")
}
