-- What has been revoked: tokens, sessions, and the instants before which the tokens of a user or
-- an issuer are refused.
--
-- key is the first 16 bytes of SHA-256 over scope, issuer and id (see row_key). So every row is
-- found by one narrow index of fixed width, under no collation. The readable columns stand beside it.
-- since stands in that index too: good tokens of users with an epoch are the common case, and a
-- check of them reads the index alone.
-- xid is the transaction that last wrote the row. A trigger sets it, so that mirrors can ask for
-- what has changed.
--
-- vacuum_truncate is off, because giving pages back takes an ACCESS EXCLUSIVE lock, for which every
-- check would wait.
--
-- Types, functions and operators are named with their schema, since the search_path is the app's.

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    IF pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of this database is %, these tables need UTF8', pg_catalog.current_setting('server_encoding')
            USING HINT = 'Create the database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;
-- +goose StatementEnd

CREATE TABLE revoke.revocations (
    key        pg_catalog.uuid                    NOT NULL,
    since      timestamp with time zone           NOT NULL,
    expires_at timestamp with time zone           NOT NULL,
    revoked_at timestamp with time zone           NOT NULL,
    xid        pg_catalog.xid8                    NOT NULL,
    scope      pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    issuer     pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    id         pg_catalog.text COLLATE pg_catalog."C",
    reason     pg_catalog.text,
    actor      pg_catalog.text,
    CONSTRAINT revocations_pkey PRIMARY KEY (key) INCLUDE (since),
    CONSTRAINT revocations_scope CHECK
        (scope OPERATOR(pg_catalog.=) ANY (ARRAY['token', 'session', 'user', 'issuer', 'reserve']::pg_catalog.text[])),
    CONSTRAINT revocations_id CHECK
        ((id IS NULL) OPERATOR(pg_catalog.=) (scope OPERATOR(pg_catalog.=) ANY (ARRAY['issuer', 'reserve']::pg_catalog.text[]))),
    CONSTRAINT revocations_finite CHECK
        (pg_catalog.isfinite(since) AND pg_catalog.isfinite(expires_at) AND pg_catalog.isfinite(revoked_at))
) WITH (vacuum_truncate = off);
COMMENT ON TABLE revoke.revocations IS
    'One row for each revoked token, session, user and issuer, kept until no verifier can accept a token that it refuses.';
COMMENT ON COLUMN revoke.revocations.scope IS 'token, session, user, issuer; or reserve, which revokes nothing';
COMMENT ON COLUMN revoke.revocations.id IS 'the jti, the sid or the sub; null for an issuer';
COMMENT ON COLUMN revoke.revocations.since IS
    'token, session: when it was revoked first; user, issuer: tokens issued before it are refused';
CREATE INDEX revocations_expires_at_idx ON revoke.revocations (expires_at);
CREATE INDEX revocations_xid_idx ON revoke.revocations (xid);

-- +goose StatementBegin
CREATE FUNCTION revoke.row_key(scope pg_catalog.text, issuer pg_catalog.text, id pg_catalog.text) RETURNS pg_catalog.uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog
    AS $$
SELECT encode(substring(sha256(
           int4send(octet_length(convert_to(scope, 'UTF8'))) || convert_to(scope, 'UTF8')
        || int4send(octet_length(convert_to(issuer, 'UTF8'))) || convert_to(issuer, 'UTF8')
        || int4send(octet_length(convert_to(id, 'UTF8'))) || convert_to(id, 'UTF8')
       ) FROM 1 FOR 16), 'hex')::pg_catalog.uuid
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION revoke.row_key(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
    'The key of a row. scope is token, session, user or issuer; id is the jti, sid or sub, and empty for an issuer.';

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
CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION revoke.set_xid();
-- ALWAYS: rows that a logical replication worker applies bring the xid of another server, which
-- means nothing here.
ALTER TABLE revoke.revocations ENABLE ALWAYS TRIGGER set_xid;

-- For the statement of a sign-in, which reads the hash of the password and the epochs in one snapshot:
-- SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE email = $2. STABLE is what
-- makes it one: a VOLATILE function has a later snapshot, and was seen to return the new epoch beside
-- the old hash. With row_security off Postgres reports an error where policies would hide rows, and so
-- an epoch of 0. What it returns is the epoch claim, and never null.
-- +goose StatementBegin
CREATE FUNCTION revoke.epochs(issuer pg_catalog.text, subject pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET row_security = off
    AS $$
BEGIN
    IF NOT coalesce(pg_catalog.octet_length(issuer) OPERATOR(pg_catalog.>) 0
                AND pg_catalog.octet_length(issuer) OPERATOR(pg_catalog.<=) 1024, false) THEN
        RAISE EXCEPTION 'epochs: the issuer is null, empty, or longer than 1024 bytes' USING ERRCODE = '22023';
    END IF;
    IF NOT coalesce(pg_catalog.octet_length(subject) OPERATOR(pg_catalog.>) 0
                AND pg_catalog.octet_length(subject) OPERATOR(pg_catalog.<=) 1024, false) THEN
        RAISE EXCEPTION 'epochs: the subject is null, empty, or longer than 1024 bytes' USING ERRCODE = '22023';
    END IF;
    RETURN pg_catalog.concat('[', coalesce((
            SELECT (extract(epoch FROM t.since) OPERATOR(pg_catalog.*) 1000000)::bigint FROM revoke.revocations AS t
            WHERE t.key OPERATOR(pg_catalog.=) revoke.row_key('user', epochs.issuer, epochs.subject)), 0), ',', coalesce((
            SELECT (extract(epoch FROM t.since) OPERATOR(pg_catalog.*) 1000000)::bigint FROM revoke.revocations AS t
            WHERE t.key OPERATOR(pg_catalog.=) revoke.row_key('issuer', epochs.issuer, '')), 0), ']');
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION revoke.epochs(pg_catalog.text, pg_catalog.text) FROM PUBLIC;
COMMENT ON FUNCTION revoke.epochs(pg_catalog.text, pg_catalog.text) IS
    'The epochs of a user, [user, issuer], as the claim of a token has them. subject is the sub.';

-- The reserve: 512 rows that revoke nothing and fill 128 pages. With them an index scan is always
-- estimated cheaper than a scan of the table, so a connection that planned its check while the table
-- was small goes on using the index when the table has grown. They are rows, and not empty pages, so
-- that a dump carries them. VACUUM FULL keeps them.
INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, reason)
    SELECT revoke.row_key('reserve', 'reserve', n::pg_catalog.text), pg_catalog.to_timestamp(0),
           timestamp with time zone '9999-12-31 00:00:00+00', pg_catalog.to_timestamp(0),
           'reserve', 'reserve', pg_catalog.repeat(' ', 1800)
    FROM pg_catalog.generate_series(1, 512) AS n;

-- +goose StatementBegin
CREATE FUNCTION revoke.schema_version() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 20261126000001 $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION revoke.schema_version();
DROP FUNCTION revoke.epochs(pg_catalog.text, pg_catalog.text);
DROP TABLE revoke.revocations;
DROP FUNCTION revoke.set_xid();
DROP FUNCTION revoke.row_key(pg_catalog.text, pg_catalog.text, pg_catalog.text);
