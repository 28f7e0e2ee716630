package migrations

// LockID returns the key of the advisory lock that a migration of the schema holds.
func LockID(schema string) int64 {
	return locker{config{schema}}.id()
}

// VersionTable is the name of the table of versions.
const VersionTable = versionTable
