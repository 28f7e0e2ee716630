package postgres

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Every argument is a Go string, and every column a text in ASCII. Of all types a string alone is
// the same in every query mode and under every type that an app registers on its connections, and
// ASCII alone is the same in every client_encoding. The exception is Keys, which can be sent as a
// string too.

// HexText is a text as the hexadecimal digits of its UTF-8.
func HexText(text string) string { return hex.EncodeToString([]byte(text)) }

// HexKey is a key as a uuid is written.
func HexKey(key [16]byte) string { return hex.EncodeToString(key[:]) }

// HexArray is an array of keys.
func HexArray(keys [][16]byte) string {
	array := make([]byte, 0, len(keys)*33+2)
	array = append(array, '{')
	for i, key := range keys {
		if i > 0 {
			array = append(array, ',')
		}
		array = hex.AppendEncode(array, key[:])
	}
	return string(append(array, '}'))
}

// Keys is an array of keys as the argument of a statement that runs at each request. In binary,
// which pgx chooses where it knows the type, the server reads it in a quarter of the time of its
// text. Where pgx does not know the type, or an app has registered a type for uuid that cannot take
// it, pgx sends the text.
type Keys [][16]byte

// Dimensions implements [pgtype.ArrayGetter].
func (k Keys) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(k)), LowerBound: 1}}
}

// Index implements [pgtype.ArrayGetter].
func (k Keys) Index(i int) any { return element{k[i]} }

// IndexType implements [pgtype.ArrayGetter].
func (k Keys) IndexType() any { return element{} }

// TextValue implements [pgtype.TextValuer].
func (k Keys) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: HexArray(k), Valid: true}, nil
}

// element is an element of Keys. It offers no text, as [pgtype.UUID] does: a codec of text for uuid
// would put that into an array in binary.
type element struct{ key [16]byte }

// UUIDValue implements [pgtype.UUIDValuer].
func (e element) UUIDValue() (pgtype.UUID, error) {
	return pgtype.UUID{Bytes: e.key, Valid: true}, nil
}

// texts returns the arguments as strings, for drivers of database/sql that pass on nothing else. A
// method Value in its place would be used by pgx too, with a codec of the app's.
func texts(args []any) []any {
	texts := slices.Clone(args)
	for i, arg := range texts {
		if keys, ok := arg.(Keys); ok {
			texts[i] = HexArray(keys)
		}
	}
	return texts
}

// TextArray is an array of texts that hold neither quotes nor backslashes.
func TextArray(elements []string) string { return `{"` + strings.Join(elements, `","`) + `"}` }

// TimeText is a time as every DateStyle reads it, in microseconds, rounded down. It is
// empty where t is zero.
func TimeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z")
}

// SecondsText is a duration in seconds.
func SecondsText(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// TimeDigits is the length of a time in the answer to a check: the hexadecimal digits of its binary
// form.
const TimeDigits = 16

// ReadTime reads such a time, in microseconds since 1970. The binary form counts from 2000.
func ReadTime(digits string) (int64, error) {
	micros, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrForeignAnswer, err)
	}
	return int64(micros) + 946_684_800_000_000, nil
}

// ErrForeignAnswer says that a statement was answered with what it does not ask for.
var ErrForeignAnswer = errors.New("the database answered with what it was not asked for")

// Columns reads columns of texts one after the other. The first error is kept.
type Columns struct {
	texts []string
	Err   error
}

// ReadColumns scans a row that has so many columns.
func ReadColumns(current Row, count int) Columns {
	c := Columns{texts: make([]string, count)}
	dest := make([]any, count)
	for i := range c.texts {
		dest[i] = &c.texts[i]
	}
	c.Err = current.Scan(dest...)
	return c
}

// Text returns the next column, which is empty where it is null.
func (c *Columns) Text() string {
	if c.Err != nil {
		return ""
	}
	text := c.texts[0]
	c.texts = c.texts[1:]
	return text
}

// Name returns the next column, which was written as HexText.
func (c *Columns) Name() string {
	decoded, err := hex.DecodeString(c.Text())
	c.keep(err)
	return string(decoded)
}

// Number returns the next column, 0 where it is null.
func (c *Columns) Number() int64 {
	text := c.Text()
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	c.keep(err)
	return n
}

func (c *Columns) keep(err error) {
	if c.Err == nil && err != nil {
		c.Err = fmt.Errorf("%w: %w", ErrForeignAnswer, err)
	}
}
