package migrations

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// qualifier matches "revoke." where it qualifies an identifier, but not where a comment ends with
// the word.
var qualifier = regexp.MustCompile(`\brevoke\.([a-z_])`)

// quoted is the schema as SQL writes it: quotes let it be a word of the language, such as order.
func (c config) quoted() string { return `"` + c.schema + `"` }

// written is the schema as the migrations write it.
func (c config) written() string {
	if c.schema == DefaultSchema {
		return c.schema
	}
	return c.quoted()
}

// files returns the migrations for the schema. They are written for the default one, so that they
// are valid as they are. For another schema they are rewritten into a zip archive in memory, which
// is a file system of the standard library.
func (c config) files() (fs.FS, error) {
	if c.schema == DefaultSchema {
		return embedded, nil
	}
	names, err := fs.Glob(embedded, "*.sql")
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	rewritten := zip.NewWriter(&archive)
	for _, name := range names {
		text, err := fs.ReadFile(embedded, name)
		if err != nil {
			return nil, err
		}
		file, err := rewritten.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := file.Write(qualifier.ReplaceAll(text, []byte(c.written()+".$1"))); err != nil {
			return nil, err
		}
	}
	if err := rewritten.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
}

// step is one migration as plain SQL.
type step struct {
	version  int64
	name     string
	up, down string
}

// readSteps returns the migrations, the oldest first.
func readSteps(c config) ([]step, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]step, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		steps[i] = step{version: version, name: name}
		if steps[i].up, steps[i].down, err = split(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return steps, nil
}

// split divides a file of goose's format into its two directions.
func split(text string) (up, down string, err error) {
	_, text, hasUp := strings.Cut(text, "-- +goose Up\n")
	up, down, hasDown := strings.Cut(text, "-- +goose Down\n")
	if !hasUp || !hasDown {
		return "", "", errors.New("it has no part for one of the directions")
	}
	plain := strings.NewReplacer("-- +goose StatementBegin\n", "", "-- +goose StatementEnd\n", "").Replace
	return plain(up), plain(down), nil
}

func (c config) plain(from, to int64) (string, error) {
	steps, err := readSteps(c)
	if err != nil {
		return "", err
	}
	versions := []int64{0}
	for _, s := range steps {
		versions = append(versions, s.version)
	}
	if !slices.Contains(versions, from) || !slices.Contains(versions, to) || from == to {
		return "", fmt.Errorf("there is no way from version %d to version %d: they must be two of %d", from, to, versions)
	}
	var b strings.Builder
	if from == 0 {
		fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n\n", c.quoted())
	}
	for _, s := range steps {
		if s.version > from && s.version <= to {
			b.WriteString(s.up)
		}
	}
	for _, s := range slices.Backward(steps) {
		if s.version <= from && s.version > to {
			b.WriteString(s.down)
		}
	}
	return b.String(), nil
}
