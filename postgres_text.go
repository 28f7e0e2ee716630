package revoke

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// hexText is a text as the hexadecimal digits of its UTF-8.
func hexText(text string) string { return hex.EncodeToString([]byte(text)) }

// hexKey is a key as a uuid is written.
func hexKey(key [16]byte) string { return hex.EncodeToString(key[:]) }

// hexArray is an array of keys.
func hexArray(keys [][16]byte) string {
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

// textArray is an array of texts that hold neither quotes nor backslashes.
func textArray(elements []string) string { return `{"` + strings.Join(elements, `","`) + `"}` }

// timeText is a time as every DateStyle reads it, in microseconds, rounded down. It is
// empty where t is zero.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z")
}

// secondsText is a duration in seconds.
func secondsText(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// timeDigits is the length of a time in the answer to a check: the hexadecimal digits of its binary
// form.
const timeDigits = 16

// readTime reads such a time, in microseconds since 1970. The binary form counts from 2000.
func readTime(digits string) (int64, error) {
	micros, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errForeignAnswer, err)
	}
	return int64(micros) + 946_684_800_000_000, nil
}

// errForeignAnswer says that a statement was answered with what it does not ask for.
var errForeignAnswer = errors.New("the database answered with what it was not asked for")

// columns reads columns of texts one after the other. The first error is kept.
type columns struct {
	texts []string
	err   error
}

// readColumns scans a row that has so many columns.
func readColumns(current row, count int) columns {
	c := columns{texts: make([]string, count)}
	dest := make([]any, count)
	for i := range c.texts {
		dest[i] = &c.texts[i]
	}
	c.err = current.Scan(dest...)
	return c
}

// text returns the next column, which is empty where it is null.
func (c *columns) text() string {
	if c.err != nil {
		return ""
	}
	text := c.texts[0]
	c.texts = c.texts[1:]
	return text
}

// name returns the next column, which was written as hexText.
func (c *columns) name() string {
	decoded, err := hex.DecodeString(c.text())
	c.keep(err)
	return string(decoded)
}

// number returns the next column, 0 where it is null.
func (c *columns) number() int64 {
	text := c.text()
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	c.keep(err)
	return n
}

func (c *columns) keep(err error) {
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("%w: %w", errForeignAnswer, err)
	}
}
