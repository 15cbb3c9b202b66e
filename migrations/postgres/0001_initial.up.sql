-- Users, sessions, and the state of each session's refresh token.
--
-- A refresh changes one row of `refresh_tokens` and no index, so that Postgres updates in place (a "heap-only tuple"):
-- no index has a column that a refresh changes, and each page has room for new versions of its rows.
--
-- Locks are taken in one order everywhere: users, then refresh_tokens (by token), then sessions.

CREATE TABLE users (
    id            uuid        NOT NULL PRIMARY KEY,
    session_epoch bigint      NOT NULL DEFAULT 0 CHECK (session_epoch >= 0),
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    email         text        NOT NULL UNIQUE,
    password_hash text        NOT NULL
) WITH (fillfactor = 90);

COMMENT ON COLUMN users.session_epoch IS 'goes up whenever all sessions of the user are ended at once';

-- Made before `sessions`, so that the cascade from `users` comes here first, too (its triggers fire in that order).
CREATE TABLE refresh_tokens (
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    session_ends_at timestamptz NOT NULL,
    check_at        timestamptz NOT NULL,
    generation      bigint      NOT NULL CHECK (generation BETWEEN 0 AND 4294967295),
    user_id         uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id      uuid        NOT NULL,
    token           text COLLATE "C" NOT NULL PRIMARY KEY,
    secret_hash     bytea       NOT NULL CHECK (octet_length(secret_hash) = 32),
    recent          bytea       NOT NULL CHECK (octet_length(recent) IN (0, 28, 56, 84, 112))
) WITH (
    -- A row is inserted with an empty `recent` and grows to its full size with the fourth refresh: a page that is 57 %
    -- full of new rows is about 90 % full of grown ones, which leaves room for three versions.
    fillfactor = 57,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05
);

ALTER TABLE refresh_tokens ALTER COLUMN recent SET STORAGE PLAIN;
ALTER TABLE refresh_tokens ALTER COLUMN secret_hash SET STORAGE PLAIN;

CREATE INDEX refresh_tokens_user_id ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_check_at ON refresh_tokens (check_at);

COMMENT ON COLUMN refresh_tokens.token IS 'key under which the token is looked up: of its session, or SHA-256 of a bare token; never the token';
COMMENT ON COLUMN refresh_tokens.revoked_at IS 'null until revoked; equals sessions.ended_at';
COMMENT ON COLUMN refresh_tokens.session_ends_at IS 'a copy of sessions.ends_at, which never changes';
COMMENT ON COLUMN refresh_tokens.check_at IS 'no later than the moment from which the retention counts; a refresh leaves it alone, the sweep moves it on';
COMMENT ON COLUMN refresh_tokens.recent IS 'the last four spent generations, 28 bytes each';

CREATE TABLE sessions (
    id                       uuid        NOT NULL PRIMARY KEY,
    user_id                  uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    ends_at                  timestamptz NOT NULL,
    ended_at                 timestamptz,
    access_token_expires_at  timestamptz,
    refresh_token_expires_at timestamptz,
    access_token             bytea,
    end_reason               text,
    token                    text COLLATE "C" NOT NULL,
    user_agent               text,
    ip                       text,
    label                    text,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

CREATE INDEX sessions_user_id ON sessions (user_id);

COMMENT ON COLUMN sessions.token IS 'the row of refresh_tokens that belongs to this session';
COMMENT ON COLUMN sessions.ends_at IS 'absolute end: no refresh prolongs the session beyond it';
COMMENT ON COLUMN sessions.access_token IS 'hash, in formats where access tokens are kept; else null, like its expiries';
