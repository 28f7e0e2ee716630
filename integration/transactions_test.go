package integration

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/uptrace/bun"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// The transactions of these libraries are SQLTx. GORM's is the ConnPool of a statement, also
// where GORM prepares statements.
var (
	_ revoke.SQLTx = (*sql.Tx)(nil)
	_ revoke.SQLTx = (*sqlx.Tx)(nil)
	_ revoke.SQLTx = bun.Tx{}
	_ revoke.SQLTx = gorm.ConnPool(nil)
	_ revoke.SQLTx = (*gorm.PreparedStmtTX)(nil)
)

// account is a row of the app.
type account struct {
	Name     string `gorm:"primaryKey"`
	Password string
}

// changePassword is code of the app. In a transaction of the app's library it writes the new
// password and revokes the user's tokens. It commits where result is nil. Otherwise it rolls
// back and returns result.
type changePassword func(ctx context.Context, store *revoke.Postgres, user revoke.User, result error) error

func withSQL(db *sql.DB) changePassword {
	return func(ctx context.Context, store *revoke.Postgres, user revoke.User, result error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to do
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET password = 'new' WHERE name = $1", user.Subject); err != nil {
			return err
		}
		if _, err := store.WithSQLTx(tx).RevokeUser(ctx, user); err != nil {
			return err
		}
		if result != nil {
			return result
		}
		return tx.Commit()
	}
}

func withSQLX(db *sqlx.DB) changePassword {
	return func(ctx context.Context, store *revoke.Postgres, user revoke.User, result error) error {
		tx, err := db.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to do
		_, err = tx.NamedExecContext(ctx, "UPDATE accounts SET password = 'new' WHERE name = :name", map[string]any{"name": user.Subject})
		if err != nil {
			return err
		}
		if _, err := store.WithSQLTx(tx).RevokeUser(ctx, user); err != nil {
			return err
		}
		if result != nil {
			return result
		}
		return tx.Commit()
	}
}

func withGORM(db *gorm.DB) changePassword {
	return func(ctx context.Context, store *revoke.Postgres, user revoke.User, result error) error {
		return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if err := tx.Model(&account{}).Where("name = ?", user.Subject).Update("password", "new").Error; err != nil {
				return err
			}
			if _, err := store.WithSQLTx(tx.Statement.ConnPool).RevokeUser(ctx, user); err != nil {
				return err
			}
			return result
		})
	}
}

// TestPasswordChange revokes in a transaction of each library: the new password and the
// revocation are committed together, or rolled back together.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.Database(t))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { testkit.Must(t, db.Close()) })
	testkit.Exec(t, pool, "CREATE TABLE accounts (name text PRIMARY KEY, password text NOT NULL)")
	store := testkit.OpenStore(t, pool)
	orm, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: db}), &gorm.Config{Logger: logger.Discard})
	testkit.Must(t, err)

	for _, row := range []struct {
		name   string
		change changePassword
	}{
		{"database/sql", withSQL(db)},
		{"sqlx", withSQLX(sqlx.NewDb(db, "pgx"))},
		{"GORM", withGORM(orm)},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := testkit.Token()
			user := token.User()
			testkit.Exec(t, pool, "INSERT INTO accounts VALUES ($1, 'old')", user.Subject)

			failure := errors.New("the app fails")
			if err := row.change(ctx, store, user, failure); !errors.Is(err, failure) {
				t.Fatalf("the change = %v, want the failure of the app", err)
			}
			expectPassword(t, pool, user, "old")
			testkit.Must(t, store.Check(ctx, token))

			testkit.Must(t, row.change(ctx, store, user, nil))
			expectPassword(t, pool, user, "new")
			testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)

			// The database's own error can be reached.
			testkit.Exec(t, pool, "ALTER TABLE revoke.revocations RENAME TO elsewhere")
			err := row.change(ctx, store, user, nil)
			testkit.Exec(t, pool, "ALTER TABLE revoke.elsewhere RENAME TO revocations")
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if pgErr := (*pgconn.PgError)(nil); !errors.As(err, &pgErr) || pgErr.Code != "42P01" {
				t.Errorf("the change = %v, want the error of the database for a missing table", err)
			}
		})
	}
}

func expectPassword(t *testing.T, pool *pgxpool.Pool, user revoke.User, want string) {
	t.Helper()
	got := testkit.QueryOne[string](t, pool, "SELECT password FROM accounts WHERE name = $1", user.Subject)
	if got != want {
		t.Errorf("the password is %q, want %q", got, want)
	}
}

// credentials are what a sign-in reads: a row of the app's with the epochs of its user.
type credentials struct {
	ID           string
	PasswordHash string `db:"password_hash"`
	Epochs       revoke.Epochs
}

// TestSignInStatement reads a row of the app's and the user's epochs in one statement, into
// a struct of the app's, by each library.
func TestSignInStatement(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.Database(t))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { testkit.Must(t, db.Close()) })
	testkit.Exec(t, pool, "CREATE TABLE accounts AS SELECT 42 AS id, 'ada@app.example' AS email, 'hash' AS password_hash")
	store := testkit.OpenStore(t, pool)
	user := revoke.User{Issuer: "https://app.example", Subject: "42"}
	epochs, err := store.RevokeUser(ctx, user)
	testkit.Must(t, err)
	orm, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: db}), &gorm.Config{Logger: logger.Discard})
	testkit.Must(t, err)
	const numbered = "SELECT id::text AS id, password_hash, revoke.epochs($1, id::text) AS epochs FROM accounts WHERE email = $2"
	const marked = "SELECT id::text AS id, password_hash, revoke.epochs(?, id::text) AS epochs FROM accounts WHERE email = ?"
	for _, row := range []struct {
		name string
		read func(*credentials) error
	}{
		{"pgx", func(c *credentials) error {
			return pool.QueryRow(ctx, numbered, user.Issuer, "ada@app.example").Scan(&c.ID, &c.PasswordHash, &c.Epochs)
		}},
		{"pgx by name", func(c *credentials) error {
			rows, err := pool.Query(ctx, numbered, user.Issuer, "ada@app.example")
			if err != nil {
				return err
			}
			*c, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[credentials])
			return err
		}},
		{"database/sql", func(c *credentials) error {
			return db.QueryRowContext(ctx, numbered, user.Issuer, "ada@app.example").Scan(&c.ID, &c.PasswordHash, &c.Epochs)
		}},
		{"sqlx", func(c *credentials) error {
			return sqlx.NewDb(db, "pgx").GetContext(ctx, c, numbered, user.Issuer, "ada@app.example")
		}},
		{"GORM", func(c *credentials) error {
			return orm.WithContext(ctx).Raw(marked, user.Issuer, "ada@app.example").Scan(c).Error
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var read credentials
			testkit.Must(t, row.read(&read))
			if want := (credentials{"42", "hash", epochs}); read != want {
				t.Errorf("%+v, want %+v", read, want)
			}
		})
	}
}
