-- Revoked tokens, revoked sessions, and the instants before which a user's or an issuer's tokens are dead.
--
-- key is the first 16 bytes of SHA-256 over the kind of a row and its identity (see row_key), so that each table is
-- read by one narrow index of fixed width, under no collation. The readable columns stand beside it.
-- not_before stands in that index too, because good tokens of users with an epoch are the common case, and a check then needs no
-- page of the table.
-- xid is the transaction that last wrote a row; a trigger forces it, so that mirrors can ask for "what changed since", by an
-- index of its own, to whose end every new row goes.
--
-- vacuum_truncate is off for two reasons. Giving pages back takes an ACCESS EXCLUSIVE lock, which every check would
-- wait for; and a table of no pages makes a sequential scan look free to the planner, so that a connection which
-- planned its check on an empty table would go on scanning while the table grows (see the end of this file). VACUUM FULL and
-- TRUNCATE take the pages away: after either on an empty table, let the app connect anew when the table has grown.

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of this database is %, these tables need UTF8', current_setting('server_encoding')
            USING HINT = 'Create the database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;
-- +goose StatementEnd

CREATE TABLE revoke.revoked_tokens (
    key        uuid             NOT NULL,
    expires_at timestamptz      NOT NULL,
    revoked_at timestamptz      NOT NULL,
    xid        xid8             NOT NULL,
    issuer     text COLLATE "C" NOT NULL,
    jti        text COLLATE "C" NOT NULL,
    reason     text,
    actor      text,
    CONSTRAINT revoked_tokens_pkey PRIMARY KEY (key),
    CONSTRAINT revoked_tokens_finite CHECK (isfinite(expires_at) AND isfinite(revoked_at))
) WITH (vacuum_truncate = off);
COMMENT ON TABLE revoke.revoked_tokens IS 'One row for each revoked or redeemed token, kept until no verifier can accept the token.';
CREATE INDEX revoked_tokens_expires_at_idx ON revoke.revoked_tokens (expires_at);
CREATE INDEX revoked_tokens_xid_idx ON revoke.revoked_tokens (xid);

CREATE TABLE revoke.user_epochs (
    key        uuid             NOT NULL,
    not_before timestamptz      NOT NULL,
    expires_at timestamptz      NOT NULL,
    revoked_at timestamptz      NOT NULL,
    xid        xid8             NOT NULL,
    issuer     text COLLATE "C" NOT NULL,
    subject    text COLLATE "C",
    reason     text,
    actor      text,
    CONSTRAINT user_epochs_pkey PRIMARY KEY (key) INCLUDE (not_before),
    CONSTRAINT user_epochs_finite CHECK (isfinite(not_before) AND isfinite(expires_at) AND isfinite(revoked_at))
) WITH (vacuum_truncate = off);
COMMENT ON TABLE revoke.user_epochs IS 'Tokens issued before not_before are dead: of one user, or of every user of the issuer where subject is null.';
CREATE INDEX user_epochs_expires_at_idx ON revoke.user_epochs (expires_at);
CREATE INDEX user_epochs_xid_idx ON revoke.user_epochs (xid);

CREATE TABLE revoke.sessions (
    key        uuid             NOT NULL,
    expires_at timestamptz      NOT NULL,
    revoked_at timestamptz,
    xid        xid8             NOT NULL,
    issuer     text COLLATE "C" NOT NULL,
    sid        text COLLATE "C" NOT NULL,
    reason     text,
    actor      text,
    CONSTRAINT sessions_pkey PRIMARY KEY (key),
    CONSTRAINT sessions_finite CHECK (isfinite(expires_at) AND isfinite(revoked_at))
) WITH (vacuum_truncate = off);
COMMENT ON TABLE revoke.sessions IS 'Sessions. Where revoked_at is set, every token that carries this sid is dead.';
CREATE INDEX sessions_expires_at_idx ON revoke.sessions (expires_at);
CREATE INDEX sessions_xid_idx ON revoke.sessions (xid) WHERE revoked_at IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION revoke.row_key(kind text, issuer text, id text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT encode(substring(sha256(
           int4send(octet_length(convert_to(kind, 'UTF8'))) || convert_to(kind, 'UTF8')
        || int4send(octet_length(convert_to(issuer, 'UTF8'))) || convert_to(issuer, 'UTF8')
        || int4send(octet_length(convert_to(id, 'UTF8'))) || convert_to(id, 'UTF8')
       ) FROM 1 FOR 16), 'hex')::uuid
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION revoke.row_key(text, text, text) IS
    'The key of a row. kind is token, session, user or issuer; id is the jti, sid or subject, and empty for an issuer.';

-- +goose StatementBegin
CREATE FUNCTION revoke.set_xid() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.xid := pg_catalog.pg_current_xact_id();
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON revoke.revoked_tokens FOR EACH ROW EXECUTE FUNCTION revoke.set_xid();
CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON revoke.user_epochs    FOR EACH ROW EXECUTE FUNCTION revoke.set_xid();
CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON revoke.sessions       FOR EACH ROW EXECUTE FUNCTION revoke.set_xid();
-- ALWAYS: rows that a logical replication worker applies bring the xid of another server, which means nothing here.
ALTER TABLE revoke.revoked_tokens ENABLE ALWAYS TRIGGER set_xid;
ALTER TABLE revoke.user_epochs    ENABLE ALWAYS TRIGGER set_xid;
ALTER TABLE revoke.sessions       ENABLE ALWAYS TRIGGER set_xid;

-- +goose StatementBegin
CREATE FUNCTION revoke.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 1 $$;
-- +goose StatementEnd

-- The reserve: 32 pages a table that stay when it is empty, because vacuum_truncate is off. With them an index scan
-- is always estimated cheaper than a scan of the table, whatever a connection saw when it first planned its check.
INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti, reason)
    SELECT gen_random_uuid(), to_timestamp(0), to_timestamp(0), 'reserve', 'reserve', repeat(' ', 1800) FROM generate_series(1, 128);
INSERT INTO revoke.user_epochs (key, not_before, expires_at, revoked_at, issuer, reason)
    SELECT gen_random_uuid(), to_timestamp(0), to_timestamp(0), to_timestamp(0), 'reserve', repeat(' ', 1800) FROM generate_series(1, 128);
INSERT INTO revoke.sessions (key, expires_at, issuer, sid, reason)
    SELECT gen_random_uuid(), to_timestamp(0), 'reserve', 'reserve', repeat(' ', 1800) FROM generate_series(1, 128);
DELETE FROM revoke.revoked_tokens;
DELETE FROM revoke.user_epochs;
DELETE FROM revoke.sessions;

-- +goose Down
DROP FUNCTION revoke.schema_version();
DROP TABLE revoke.sessions;
DROP TABLE revoke.user_epochs;
DROP TABLE revoke.revoked_tokens;
DROP FUNCTION revoke.set_xid();
DROP FUNCTION revoke.row_key(text, text, text);
