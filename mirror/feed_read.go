package mirror

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgrevoke/revoke/internal/circumstances"
)

// partRows is the number of rows in a part.
const partRows = 512

// asker sends statements of feedSQL by a connection.
type asker struct {
	conn     *pgx.Conn
	before   []string          // BEGIN and what follows; empty where statements need none
	readOnly bool              // see revoke.WithReadOnlyConnections
	prepared map[string]string // statements that are prepared, and by which name
}

// newAsker returns an asker for a connection of which the mirror may not change the
// settings: each statement is sent in a transaction that has those of settingsSQL. A
// server in recovery refuses READ WRITE, which takes the place of a look at the fence.
func newAsker(conn *pgx.Conn, readOnly bool) asker {
	a := asker{conn: conn, before: []string{beginSQL, localSettingsSQL}, readOnly: readOnly}
	if readOnly {
		a.before[0] = beginWritableSQL
	}
	return a
}

const (
	beginSQL         = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginWritableSQL = beginSQL + " READ WRITE"
)

// rows runs a statement, in one round trip, and hands the columns of each row to scan, in binary.
// They are valid until scan returns. The statement is sent past pgx's query modes and types, which
// are the app's.
func (a asker) rows(ctx context.Context, scan func([][]byte) error, sql string, args ...string) (err error) {
	batch := &pgconn.Batch{}
	for _, sql := range a.before {
		batch.ExecParams(sql, nil, nil, nil, nil)
	}
	var values [][]byte
	for _, arg := range args {
		values = append(values, []byte(arg))
	}
	binary := []int16{pgx.BinaryFormatCode}
	if name, ok := a.prepared[sql]; ok {
		batch.ExecPrepared(name, values, nil, binary)
	} else {
		batch.ExecParams(sql, values, nil, nil, binary)
	}
	if len(a.before) > 0 {
		batch.ExecParams("COMMIT", nil, nil, nil, nil)
	}
	results := a.conn.PgConn().ExecBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	for results.NextResult() {
		for result := results.ResultReader(); result.NextRow(); {
			if err := scan(result.Values()); err != nil {
				return err
			}
		}
	}
	return nil
}

// read runs a statement of feedSQL. It hands the header to check, and the rows to apply
// in parts. It gives up where patience passes without another part.
func (a asker) read(ctx context.Context, patience time.Duration, check func(header) error, apply func([]row) error,
	sql string, args ...string,
) (head header, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent // what pgx makes of it is a canceled context
		}
		cancel(nil)
	}()
	stall := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer stall.Stop()

	part := make([]row, 0, partRows)
	scan := func(values [][]byte) (err error) {
		if text := values[headColumn]; text != nil {
			if head, err = readHeader(string(text)); err != nil {
				return err
			}
			stall.Reset(patience)
			return cmp.Or(a.doubt(head), check(head))
		}
		r, err := readRow(values)
		if err != nil {
			return err
		}
		if part = append(part, r); len(part) == partRows {
			err = apply(part)
			part = part[:0]
			stall.Reset(patience)
		}
		return err
	}
	err = a.rows(ctx, func(values [][]byte) error {
		err := scan(values)
		if err != nil {
			cancel(nil) // before the rows are closed, so that the rest is not sent
		}
		return err
	}, sql, args...)
	if err != nil {
		return header{}, a.withRemedy(err)
	}
	if !head.Answered() {
		return header{}, circumstances.ErrNoRow
	}
	if len(part) > 0 {
		err = apply(part)
	}
	return head, err
}

// doubt returns why an answer is not used.
func (a asker) doubt(head header) error {
	if err := head.DoubtOwn(a.readOnly); err != nil {
		return err
	}
	if head.Isolated() {
		return errIsolated
	}
	return nil
}

// withRemedy adds the remedy to an error of the database.
func (a asker) withRemedy(err error) error {
	var pgErr *pgconn.PgError
	switch {
	case circumstances.OfRowSecurity(err):
		return fmt.Errorf("%w; %w", circumstances.ErrHidden, err)
	case errors.As(err, &pgErr) && pgErr.Code == "42501": // insufficient_privilege
		return fmt.Errorf("the role of the mirror's connection needs USAGE on the schema and SELECT on revocations; "+
			"a hook of the pool may have set the role: %w", err)
	case a.readOnly && errors.As(err, &pgErr) && pgErr.Code == "0A000":
		// A server in recovery refuses READ WRITE so.
		return fmt.Errorf("%w; %w", circumstances.ErrStandby, err)
	}
	return err
}

func anySession(header) error { return nil }

// readHeader reads the text of a header.
func readHeader(text string) (head header, err error) {
	parts := strings.SplitN(text, " ", 5)
	if len(parts) != 2 && len(parts) != 5 {
		return header{}, fmt.Errorf("the database answered with a header of %d parts", len(parts))
	}
	if err := head.Read(parts[0]); err != nil {
		return header{}, err
	}
	clock, err := hex.DecodeString(parts[1])
	if err != nil || len(clock) != timeBytes {
		return header{}, fmt.Errorf("the database answered with the time %q", parts[1])
	}
	head.clock = time.UnixMicro(micros(clock))
	if len(parts) == 5 {
		head.snapshot, head.session = parts[2], parts[4]
		if parts[3] != "-" {
			head.numbering = parts[3]
		}
	}
	return head, nil
}

var errNotAsked = errors.New("the database answered with what it was not asked for")

// readRow reads the columns of a row.
func readRow(values [][]byte) (row, error) {
	if len(values) != columns {
		return row{}, errNotAsked
	}
	key, at, since := values[keyColumn], values[expiresColumn], values[sinceColumn]
	if since != nil {
		at = since
	}
	if len(key) != len(rowKey{}) || len(at) != timeBytes {
		return row{}, errNotAsked
	}
	return row{key: rowKey(key), at: max(0, micros(at)), epoch: since != nil}, nil
}

// timeBytes is the length of a time as Postgres sends it.
const timeBytes = 8

// micros reads a time as Postgres sends it, in microseconds since 2000, and returns it in
// microseconds since 1970. What lies beyond all times that matter, as infinity does, is
// moved to where it cannot overflow.
func micros(raw []byte) int64 {
	const since1970, limit = 946_684_800_000_000, 1 << 61
	return min(max(int64(binary.BigEndian.Uint64(raw)), -limit), limit) + since1970
}
