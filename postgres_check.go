package revoke

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgrevoke/revoke/internal/cancelled"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// answer is what the database says of some keys, from one snapshot.
type answer struct {
	now   time.Time          // by the database's clock
	since map[[16]byte]int64 // of each key that was found, in microseconds since 1970
}

// tell tells the verdict which of its keys were found.
func (a answer) tell(v *Verdict, keys [scopeCount][16]byte) {
	if a.since == nil {
		return
	}
	for i, key := range keys {
		if since, found := a.since[key]; found {
			v.Found(i, since)
		}
	}
}

// answerReader reads the rows of the check statement.
type answerReader struct {
	answer
	circumstances.Circumstances
}

// scan reads a row of one column: circumstances and clock, or key and since of a row that was
// found.
func (r *answerReader) Scan(current postgres.Row) error {
	var column string
	if err := current.Scan(&column); err != nil {
		return err
	}
	if head := len(column) - postgres.TimeDigits; head == circumstances.Length {
		now, err := postgres.ReadTime(column[head:])
		r.now = utc(now)
		return cmp.Or(err, r.Read(column[:head]))
	}
	var key [16]byte
	if len(column) != 2*len(key)+postgres.TimeDigits {
		return fmt.Errorf("%w: %d characters", postgres.ErrForeignAnswer, len(column))
	}
	if _, err := hex.Decode(key[:], []byte(column[:2*len(key)])); err != nil {
		return fmt.Errorf("%w: %w", postgres.ErrForeignAnswer, err)
	}
	since, err := postgres.ReadTime(column[2*len(key):])
	if r.since == nil {
		r.since = make(map[[16]byte]int64)
	}
	r.since[key] = since
	return err
}

func (r *answerReader) Reset() { *r = answerReader{} }

func (r *answerReader) Seen() circumstances.Circumstances { return r.Circumstances }

// Check implements [Checker]. Beyond ctx it has a timeout of its own, see [WithCheckTimeout].
func (p *Postgres) Check(ctx context.Context, token Token) error {
	return p.CheckVerified(ctx, Verified{Token: token})
}

// CheckVerified is Check of a token that a [Validator] has verified: see [Checker]. It takes the
// keys of the rows from verified.
func (p *Postgres) CheckVerified(ctx context.Context, verified Verified) error {
	if p.hooks.check == nil {
		return p.check(ctx, &verified)
	}
	start := time.Now()
	err := p.check(ctx, &verified)
	event := CheckEvent{Duration: time.Since(start), Err: err, Cancelled: cancelled.ByCaller(ctx, err)}
	for _, hook := range p.hooks.check {
		hook.OnCheck(ctx, event)
	}
	return err
}

func (p *Postgres) check(ctx context.Context, verified *Verified) error {
	var v Verdict
	keys, err := p.ofVerified(&v, verified)
	if err != nil {
		return fmt.Errorf("revoke: Check: %w", err)
	}
	a, err := p.ask(ctx, rowKeys(keys), 1)
	if err != nil {
		return p.fail(ctx, "Check", err)
	}
	a.tell(&v, keys)
	if err := v.Check(a.now); err != nil {
		return refuse("Check", err)
	}
	return nil
}

// ofVerified asks the verdict about a token of an issuer that the store knows.
func (p *Postgres) ofVerified(v *Verdict, verified *Verified) (keys [scopeCount][16]byte, err error) {
	if keys, err = v.OfVerified(verified); err == nil {
		err = invalidToken(p.known.Check(verified.Issuer)) // names an issuer of a bounded length
	}
	return keys, err
}

// CheckEach is Check of many tokens, in queries of up to 1,024 of them, one after the
// other. It is for what looks again at many tokens at once, such as revokehttp.Watcher. The
// result has an error or nil for each token, in the order of tokens; the hooks hear of
// each. If a query fails, its error stands for the tokens of the queries after it too,
// which are not sent.
func (p *Postgres) CheckEach(ctx context.Context, tokens []Token) []error {
	if p.hooks.check == nil {
		return p.checkEach(ctx, tokens)
	}
	start := time.Now()
	errs := p.checkEach(ctx, tokens)
	duration := time.Since(start)
	for _, err := range errs {
		event := CheckEvent{Duration: duration, Err: err, Cancelled: cancelled.ByCaller(ctx, err)}
		for _, hook := range p.hooks.check {
			hook.OnCheck(ctx, event)
		}
	}
	return errs
}

func (p *Postgres) checkEach(ctx context.Context, tokens []Token) []error {
	errs := make([]error, len(tokens))
	var outage error
	for first := 0; first < len(tokens); first += maxCoalesced {
		last := min(first+maxCoalesced, len(tokens))
		outage = p.checkBatch(ctx, tokens[first:last], errs[first:last], outage)
	}
	return errs
}

// checkBatch checks the tokens of one query, unless there is an outage already. It returns the
// outage.
func (p *Postgres) checkBatch(ctx context.Context, tokens []Token, errs []error, outage error) error {
	verdicts := make([]Verdict, len(tokens))
	keys := make([][scopeCount][16]byte, len(tokens))
	var asked [][16]byte
	count := 0
	for i := range tokens {
		found, err := p.ofVerified(&verdicts[i], &Verified{Token: tokens[i]})
		if err != nil {
			errs[i] = fmt.Errorf("revoke: CheckEach: %w", err)
			continue
		}
		keys[i] = found
		asked = append(asked, rowKeys(found)...)
		count++
	}
	var a answer
	if outage == nil && count > 0 {
		var err error
		if a, err = p.ask(ctx, sortedKeys(asked), count); err != nil {
			outage = p.fail(ctx, "CheckEach", err)
		}
	}
	for i := range tokens {
		switch {
		case errs[i] != nil:
		case outage != nil:
			errs[i] = outage
		default:
			a.tell(&verdicts[i], keys[i])
			if err := verdicts[i].Check(a.now); err != nil {
				errs[i] = refuse("CheckEach", err)
			}
		}
	}
	return outage
}

// ask asks about the keys of so many tokens in a query of their own, or in one that is shared.
func (p *Postgres) ask(ctx context.Context, keys [][16]byte, tokens int) (answer, error) {
	if p.checks != nil {
		a, err := p.checks.ask(ctx, keys, tokens)
		if err != nil && !errors.As(err, new(postgres.AcquireError)) {
			err = p.database.Explain(err)
		}
		return a, err
	}
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	return ask(ctx, p.database, p.sql, keys)
}

// ask sends the check statement.
func ask(ctx context.Context, d *postgres.Database, sql *statements, keys [][16]byte) (answer, error) {
	var r answerReader
	err := d.Read(ctx, sql.ask(keys), &r)
	return r.answer, err
}

// refuse names the operation that was refused. A *RevokedError says enough by itself.
func refuse(operation string, err error) error {
	if revoked := (*RevokedError)(nil); err == nil || errors.As(err, &revoked) {
		return err
	}
	return fmt.Errorf("revoke: %s: %w", operation, err)
}

// Lookup implements [Store].
func (p *Postgres) Lookup(ctx context.Context, token Token) ([]Revocation, error) {
	var v Verdict
	keys, err := p.ofVerified(&v, &Verified{Token: token})
	if err != nil {
		return nil, fmt.Errorf("revoke: Lookup: %w", err)
	}
	queryCtx, cancel := p.deadline(ctx)
	defer cancel()
	r := lookupReader{verdict: &v}
	if err := p.database.Read(queryCtx, postgres.Statement{SQL: p.sql.lookup, Args: []any{postgres.HexArray(rowKeys(keys))}}, &r); err != nil {
		return nil, p.fail(ctx, "Lookup", err)
	}
	slices.SortFunc(r.found, func(a, b Revocation) int { return cmp.Compare(a.Scope.index(), b.Scope.index()) })
	return r.found, nil
}

// lookupReader reads the rows of the lookup statement, and keeps those that refuse the token.
type lookupReader struct {
	circumstances.Circumstances
	verdict *Verdict
	found   []Revocation
}

func (r *lookupReader) Reset() { *r = lookupReader{verdict: r.verdict} }

func (r *lookupReader) Seen() circumstances.Circumstances { return r.Circumstances }

func (r *lookupReader) Scan(current postgres.Row) error {
	c := postgres.ReadColumns(current, 8)
	if err := cmp.Or(c.Err, r.Read(c.Text())); err != nil {
		return err
	}
	found := Revocation{
		Scope: Scope(c.Text()), Issuer: c.Name(), ID: c.Name(), Since: utc(c.Number()), ExpiresAt: utc(c.Number()),
		Reason: c.Name(), Actor: c.Name(),
	}
	i := found.Scope.index()
	if c.Err != nil || i < 0 {
		return c.Err // no row, or a row of a scope that a newer version wrote
	}
	r.verdict.Found(i, found.Since.UnixMicro())
	if r.verdict.Refuses(i) {
		r.found = append(r.found, found)
	}
	return nil
}
