-- The live sessions of an app that signs its own tokens, for the package session.
--
-- A row is a session. A refresh updates it and touches no index: key, user_key and expires_at are
-- fixed at the start, and the fillfactor leaves room on the page for the next version of the row.
-- Checks never read this table. What ends a session writes a row of scope session into revocations,
-- under the same key, in the same transaction.
--
-- Nothing in it is secret: the refresh tokens are signed and stand nowhere.
--
-- vacuum_truncate is off, because giving pages back takes an ACCESS EXCLUSIVE lock, for which every
-- refresh would wait.

-- +goose Up
CREATE TABLE revoke.sessions (
    key          pg_catalog.uuid                    NOT NULL,
    user_key     pg_catalog.uuid                    NOT NULL,
    issuer       pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    sid          pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    subject      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    client       pg_catalog.text COLLATE pg_catalog."C",
    user_epoch   bigint                             NOT NULL,
    issuer_epoch bigint                             NOT NULL,
    generation   bigint                             NOT NULL,
    started_at   timestamp with time zone           NOT NULL,
    refreshed_at timestamp with time zone,
    expires_at   timestamp with time zone           NOT NULL,
    ended_at     timestamp with time zone,
    cnf          pg_catalog.text COLLATE pg_catalog."C",
    label        pg_catalog.text,
    user_agent   pg_catalog.text,
    address      pg_catalog.text,
    attributes   pg_catalog.jsonb,
    CONSTRAINT sessions_pkey PRIMARY KEY (key)
) WITH (fillfactor = 70, vacuum_truncate = off);
COMMENT ON TABLE revoke.sessions IS
    'One row for each session, kept until its last token has expired. The Go package session writes it.';
COMMENT ON COLUMN revoke.sessions.key IS 'row_key(''session'', issuer, sid), as in revocations';
COMMENT ON COLUMN revoke.sessions.user_key IS 'row_key(''user'', issuer, subject), as in revocations';
COMMENT ON COLUMN revoke.sessions.client IS 'the OAuth client_id; null for the app''s own pages';
COMMENT ON COLUMN revoke.sessions.user_epoch IS 'of the sign-in, in microseconds since 1970; every token of the session carries it';
COMMENT ON COLUMN revoke.sessions.issuer_epoch IS 'of the sign-in, in microseconds since 1970; every token of the session carries it';
COMMENT ON COLUMN revoke.sessions.generation IS 'of the current refresh token; 1 at the start';
COMMENT ON COLUMN revoke.sessions.refreshed_at IS 'when the refresh token was rotated last; null before the first time';
COMMENT ON COLUMN revoke.sessions.expires_at IS 'the absolute end of the session';
COMMENT ON COLUMN revoke.sessions.ended_at IS 'when the session was ended before that; null where it was not';
COMMENT ON COLUMN revoke.sessions.cnf IS
    'the thumbprint of the key to which the session is bound; a version of the library that does not know it refuses to refresh the session';
CREATE INDEX sessions_user_key_idx ON revoke.sessions (user_key);
CREATE INDEX sessions_expires_at_idx ON revoke.sessions (expires_at);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION revoke.schema_version() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 20261126000002 $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION revoke.schema_version() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 20261126000001 $$;
-- +goose StatementEnd
DROP TABLE revoke.sessions;
