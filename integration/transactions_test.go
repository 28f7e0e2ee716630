package integration

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"testing"
	"time"

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
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// What a transaction must be, and is, in the libraries whose types say so. GORM's is the pool of its statement, also where
// it prepares statements.
var (
	_ revoke.SQLTx = (*sql.Tx)(nil)
	_ revoke.SQLTx = (*sqlx.Tx)(nil)
	_ revoke.SQLTx = bun.Tx{}
	_ revoke.SQLTx = gorm.ConnPool(nil)
	_ revoke.SQLTx = (*gorm.PreparedStmtTX)(nil)
)

const issuer = "https://app.example"

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// account is a row of the app's own.
type account struct {
	Name     string `gorm:"primaryKey"`
	Password string
}

// changePassword is the app's code: in a transaction of its library it writes the new password, ends the user's sessions,
// and returns what it is told to, which decides between commit and rollback.
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

func TestPasswordChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.Database(t))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { must(t, db.Close()) })
	_, err := pool.Exec(ctx, "CREATE TABLE accounts (name text PRIMARY KEY, password text NOT NULL)")
	must(t, err)
	store, err := revoke.NewPostgres(pool)
	must(t, err)
	orm, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: db}), &gorm.Config{Logger: logger.Discard})
	must(t, err)

	for library, change := range map[string]changePassword{
		"database/sql": withSQL(db),
		"sqlx":         withSQLX(sqlx.NewDb(db, "pgx")),
		"GORM":         withGORM(orm),
	} {
		t.Run(library, func(t *testing.T) {
			user := revoke.User{Issuer: issuer, Subject: library}
			_, err := pool.Exec(ctx, "INSERT INTO accounts VALUES ($1, 'old')", user.Subject)
			must(t, err)
			now := time.Now()
			token := revoke.Token{
				Issuer: issuer, ID: rand.Text(), Subject: user.Subject,
				IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour),
			}

			failure := errors.New("something else fails")
			if err := change(ctx, store, user, failure); !errors.Is(err, failure) {
				t.Fatalf("the change = %v", err)
			}
			expect(t, pool, user, "old")
			must(t, store.Check(ctx, token))

			must(t, change(ctx, store, user, nil))
			expect(t, pool, user, "new")
			if err := store.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
				t.Errorf("after the commit Check = %v", err)
			}

			// The database's own error stays within reach.
			_, err = pool.Exec(ctx, "ALTER TABLE revoke.user_epochs RENAME TO elsewhere")
			must(t, err)
			err = change(ctx, store, user, nil)
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "42P01" || !errors.Is(err, revoke.ErrUnavailable) {
				t.Errorf("without its table the change = %v", err)
			}
			_, err = pool.Exec(ctx, "ALTER TABLE revoke.elsewhere RENAME TO user_epochs")
			must(t, err)
		})
	}
}

func expect(t *testing.T, pool *pgxpool.Pool, user revoke.User, want string) {
	t.Helper()
	var password string
	must(t, pool.QueryRow(t.Context(), "SELECT password FROM accounts WHERE name = $1", user.Subject).Scan(&password))
	if password != want {
		t.Errorf("the password is %q, want %q", password, want)
	}
}
