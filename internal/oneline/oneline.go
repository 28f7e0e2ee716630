// Package oneline joins errors to one that fits on one line of a log.
package oneline

import "strings"

// Join is errors.Join with "; " between the texts. Nil errors are left out; a single error is
// returned as it is.
func Join(errs ...error) error {
	var kept joined
	for _, err := range errs {
		if err != nil {
			kept = append(kept, err)
		}
	}
	switch len(kept) {
	case 0:
		return nil
	case 1:
		return kept[0]
	}
	return kept
}

type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }
