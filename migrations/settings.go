package migrations

import "fmt"

// settingValues are what the statements of this package run with. The role, the database or the app
// may have set others.
const settingValues = `(VALUES
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
    ('row_security', 'on'), ('quote_all_identifiers', 'off'),
    ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on')
) AS v (name, value)`

// settings are the statements that set them, for the transaction or for the session. A setting that
// the server's version does not have is left out. The first two are set by themselves, because the
// query depends on them.
func settings(local bool) string {
	scope := "SESSION"
	if local {
		scope = "LOCAL"
	}
	return fmt.Sprintf("SET %s search_path = pg_catalog; SET %[1]s statement_timeout = 0; "+
		"SELECT set_config(v.name, v.value, %t) FROM %s JOIN pg_settings AS s ON s.name = v.name", scope, local, settingValues)
}

// savedSettings answers with the statement that sets the settings of the session as they are now.
const savedSettings = `SELECT pg_catalog.concat('SELECT ',
    pg_catalog.string_agg(pg_catalog.format('pg_catalog.set_config(%L, %L, false)', s.name, s.setting), ', '))
FROM pg_catalog.pg_settings AS s
WHERE s.name OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT v.name FROM ` + settingValues + ` UNION ALL SELECT 'search_path'))`
