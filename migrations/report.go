package migrations

import "fmt"

// Severity says how much a [Finding] matters.
type Severity string

// The severities.
const (
	Wrong Severity = "wrong" // answers may be wrong, or revocations are refused or lost
	Slow  Severity = "slow"  // answers are right, and take longer
	Note  Severity = "note"  // it is worth knowing, and may be intended
)

// Finding is one difference between the database and what the library expects.
type Finding struct {
	Severity Severity
	Subject  string // such as: trigger set_xid
	Problem  string
	Remedy   string // SQL, or what to call
	Mends    bool   // Up mends it, where the pool's role owns the table

	statements []string // by which Up mends it
}

// String returns the finding on one line.
func (f Finding) String() string {
	remedy := f.Remedy
	if f.Mends {
		remedy = "call migrations.Up as the owner of the table"
	}
	return fmt.Sprintf("%s: %s (remedy: %s)", f.Subject, f.Problem, remedy)
}

// Report is the answer of [Inspect].
type Report struct {
	Version  int64  // of the schema, 0 where there is none
	Server   int    // the number of its version, such as 180001
	Role     string // of the pool's connections
	Owner    string // of the table revocations
	Findings []Finding
}

// Err returns the findings of severity [Wrong] as one error, nil where there is none.
func (r *Report) Err() error {
	var lines []string
	for _, f := range r.Findings {
		if f.Severity == Wrong {
			lines = append(lines, f.String())
		}
	}
	return together(lines)
}
