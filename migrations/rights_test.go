package migrations_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// asRole makes a role that has the grants and nothing else, and a pool of one connection of it.
func asRole(t *testing.T, address string, grants ...string) *pgxpool.Pool {
	t.Helper()
	admin := pgserver.Pool(t, address)
	role := "migrations_" + strings.ToLower(rand.Text())
	testkit.Exec(t, admin, "CREATE ROLE "+role)
	pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = role })
	for _, grant := range grants {
		testkit.Exec(t, admin, grant+" TO "+role)
	}
	t.Cleanup(func() {
		pool.Close()
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			_, err := admin.Exec(context.WithoutCancel(t.Context()), statement)
			testkit.Must(t, err)
		}
	})
	return pool
}

// forbidLock fails each attempt to take an advisory lock.
func forbidLock(t *testing.T, address string) {
	t.Helper()
	holder := acquire(t, pgserver.Pool(t, address))
	_, err := holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", migrations.LockID("revoke"))
	testkit.Must(t, err)
}

// TestUpWithNothingToDo needs no right but to read, and does not wait for a lock.
func TestUpWithNothingToDo(t *testing.T) {
	t.Parallel()
	const usage = "GRANT USAGE ON SCHEMA revoke"
	tests := []struct {
		name   string
		damage string
		grants []string
	}{
		{name: "the owner"},
		{name: "a role that reads all", grants: []string{usage, "GRANT SELECT ON ALL TABLES IN SCHEMA revoke"}},
		{name: "a role that uses the schema", grants: []string{usage}},
		{
			name:   "a role that reads and writes revocations",
			grants: []string{usage, "GRANT SELECT, INSERT, UPDATE, DELETE ON revoke.revocations"},
		},
		{
			name: "a role that cannot mend what is slow", damage: "TRUNCATE revoke.revocations; DROP INDEX revoke.revocations_xid_idx",
			grants: []string{usage, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA revoke"},
		},
		{
			name: "a role that cannot note what another tool applied", damage: "DROP TABLE revoke." + migrations.VersionTable,
			grants: []string{usage, "GRANT SELECT ON ALL TABLES IN SCHEMA revoke"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			pool := pgserver.Pool(t, address, oneConnection)
			testkit.Exec(t, pool, test.damage, pgx.QueryExecModeSimpleProtocol)
			if test.grants != nil {
				pool = asRole(t, address, test.grants...)
			}
			forbidLock(t, address)
			for _, readOnly := range []string{"off", "on"} {
				testkit.Exec(t, pool, "SET default_transaction_read_only = "+readOnly)
				testkit.Must(t, migrations.Up(t.Context(), pool))
				wantVersion(t, pool, migrations.Latest)
			}
		})
	}
}

// TestUpWithoutTheRightToMend refuses what is wrong, and says who mends it.
func TestUpWithoutTheRightToMend(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	testkit.Exec(t, pgserver.Pool(t, address), "ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid")
	pool := asRole(t, address, "GRANT USAGE ON SCHEMA revoke", "GRANT SELECT ON ALL TABLES IN SCHEMA revoke")
	err := migrations.Up(t.Context(), pool)
	if err == nil || !strings.Contains(err.Error(), "trigger set_xid") || !strings.Contains(err.Error(), "owner") {
		t.Errorf("Up = %v", err)
	}
}

// TestWithoutUsage tells an unknown version from none.
func TestWithoutUsage(t *testing.T) {
	t.Parallel()
	pool := asRole(t, pgserver.Database(t))
	version, err := migrations.Version(t.Context(), pool)
	if err == nil || !strings.Contains(err.Error(), "USAGE") {
		t.Errorf("Version = %d, %v", version, err)
	}
	if status, err := migrations.Status(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "USAGE") {
		t.Errorf("Status = %+v, %v", status, err)
	}
	if err := migrations.Up(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "USAGE") {
		t.Errorf("Up = %v", err)
	}
	found := false
	for _, f := range inspect(t, pool).Findings {
		found = found || strings.HasPrefix(f.Remedy, "GRANT USAGE ON SCHEMA revoke TO ")
	}
	if !found {
		t.Error("Inspect does not say that USAGE is missing")
	}
}

// TestInspectNamesMissingRights lists what the app's role lacks.
func TestInspectNamesMissingRights(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	testkit.Exec(t, pgserver.Pool(t, address), "REVOKE EXECUTE ON FUNCTION revoke.row_key FROM PUBLIC")
	pool := asRole(t, address, "GRANT USAGE ON SCHEMA revoke", "GRANT SELECT, DELETE ON revoke.revocations")
	report := inspect(t, pool)
	text := ""
	for _, f := range report.Findings {
		if f.Severity != migrations.Note {
			t.Errorf("%s: %s", f.Severity, f)
		}
		text += f.String() + "\n"
	}
	for _, want := range []string{"it may not INSERT, UPDATE", "GRANT INSERT, UPDATE ON revoke.revocations TO ", "row_key(text, text, text)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

// TestUpOnAStandby succeeds without a write where nothing is to be done, and refuses otherwise.
func TestUpOnAStandby(t *testing.T) {
	t.Parallel()
	primary := testkit.Value(pgserver.Open(t.Context()))(t)
	t.Cleanup(func() { testkit.Must(t, primary.Close()) })
	address := testkit.Value(primary.CreateDatabase(t.Context()))(t)
	standby := testkit.Value(primary.Standby(t.Context()))(t)
	t.Cleanup(func() { testkit.Must(t, standby.Close()) })
	database := func(c *pgxpool.Config) {
		c.ConnConfig.Database = testkit.Value(pgx.ParseConfig(address))(t).Database
	}
	pool := pgserver.Pool(t, standby.URL(), oneConnection, database)
	testkit.Must(t, migrations.Up(t.Context(), pool))
	wantVersion(t, pool, migrations.Latest)
	if report := inspect(t, pool); len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Problem, "standby") {
		t.Errorf("Inspect on a standby: %+v", report)
	}
	err := migrations.Up(t.Context(), pool, migrations.WithSchema("other"))
	if err == nil || !strings.Contains(err.Error(), "standby") || !strings.Contains(err.Error(), "primary") {
		t.Errorf("Up of a schema that is not there = %v", err)
	}
	testkit.Exec(t, pgserver.Pool(t, address), "ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid")
	testkit.Eventually(t, "the standby has no trigger", func() bool { return inspect(t, pool).Err() != nil })
	err = migrations.Up(t.Context(), pool)
	if err == nil || !strings.Contains(err.Error(), "standby") {
		t.Errorf("Up with a trigger to mend = %v", err)
	}
}
