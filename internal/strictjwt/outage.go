package strictjwt

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// IsOutage reports whether an error says nothing about a token, because a service that was
// asked did not answer. It goes by the kind of the error, and looks at everything that the
// error wraps.
//
// An outage is: a context's error; a timeout; a connection that could not be opened, or
// broke; a name that was not resolved; an HTTP request that failed; a Postgres that refuses
// to work or lacks what the query asks for; a closed pool.
//
// None is what a text in a token's header can cause where a keyfunc makes a path, a URL or
// a query of it: a file that does not exist, a URL or an address that is malformed, a value
// that Postgres cannot read (class 22), a query that is malformed (42601) or has no result.
func IsOutage(err error) bool {
	// net and net/http have errors that match a context's without being one.
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // this walks through the tree itself, since the order matters
	case nil:
		return false
	case *url.Error:
		if !wasSent(e) { // its own Timeout and Temporary say nothing
			return IsOutage(e.Err)
		}
		return !isMalformed(e.Err)
	case *net.OpError, *net.DNSError, *pgconn.ConnectError:
		return !isMalformed(err)
	case *pgconn.ParseConfigError, *net.AddrError, *net.ParseError, net.InvalidAddrError, net.UnknownNetworkError:
		return false
	case *tls.CertificateVerificationError, tls.RecordHeaderError, tls.AlertError:
		return true
	case syscall.Errno:
		return e.Temporary() || slices.Contains(brokenConnection, e)
	case *pgconn.PgError:
		// A NUL in an argument ends the message of the simple protocol early.
		return refusesToWork(e.Code) && !strings.HasPrefix(e.Routine, "pq_getmsg")
	case interface{ SQLState() string }: // lib/pq's
		return refusesToWork(e.SQLState())
	case interface{ Timeout() bool }:
		if e.Timeout() {
			return true
		}
	}
	if slices.Contains(outages, err) || slices.Contains(closedPools, err.Error()) || pgconn.SafeToRetry(err) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return IsOutage(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), IsOutage)
	}
	return false
}

// outages are errors that stand for an outage by themselves. io.EOF is none: a reader of any
// text returns it.
var outages = []error{
	net.ErrClosed, io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone, pgconn.ErrConnClosed,
}

// closedPools are the texts of errors that their packages do not export: that of pgxpool,
// and that of database/sql.
var closedPools = []string{"closed pool", "sql: database is closed"}

// brokenConnection are errors of the operating system that are not called temporary.
var brokenConnection = []syscall.Errno{
	syscall.ECONNREFUSED, syscall.EPIPE, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN,
}

// wasSent reports whether an error of net/http is that of a request which could be sent: to
// a host, by HTTP.
func wasSent(err *url.Error) bool {
	address, wrong := url.Parse(err.URL)
	return err.Op != "parse" && wrong == nil && address.Host != "" && (address.Scheme == "http" || address.Scheme == "https")
}

// isMalformed reports whether an address is why an error came about.
func isMalformed(err error) bool {
	return errors.As(err, new(*net.AddrError)) || errors.As(err, new(*net.ParseError)) ||
		errors.As(err, new(net.InvalidAddrError)) || errors.As(err, new(net.UnknownNetworkError))
}

// refusesToWork reports whether Postgres could not answer a query for a reason that is not the
// query's: connection (08), transaction state such as read-only (25), authorization (28),
// rollback of the transaction (40), resources (53), operator intervention, such as a shutdown or
// a timeout (57), system (58), internal (XX); a lock that was not to be had; a prepared statement
// that a pooler has given to another client, or that is out of date; and a database, a schema, a
// table, a column, a function or a privilege that is missing.
func refusesToWork(sqlState string) bool {
	if len(sqlState) != 5 {
		return false
	}
	return slices.Contains([]string{"08", "25", "28", "40", "53", "57", "58", "XX"}, sqlState[:2]) ||
		slices.Contains([]string{"55P03", "26000", "42P05", "0A000", "3D000", "3F000", "42P01", "42703", "42883", "42501"}, sqlState)
}
