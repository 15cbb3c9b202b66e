-- Users, their sessions, and the state of each session's refresh token.
--
-- Every instant is a whole number of milliseconds since 1970-01-01T00:00:00Z. To read one:
--   SELECT datetime(created_at / 1000, 'unixepoch') FROM sessions;
-- Ids are hyphenated UUIDs in text, so that an id from a log can be pasted into a query.
-- Of secrets, hashes only.

CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL UNIQUE,  -- in lower case
    password_hash TEXT    NOT NULL,         -- PHC string
    session_epoch INTEGER NOT NULL,         -- only grows: a sign-in that read a lower one was overtaken
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- One row for each sign-in. Where access tokens are JWTs, a refresh does not touch it.
CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token      TEXT    NOT NULL,            -- its row in refresh_tokens
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    user_agent TEXT,
    ip         TEXT,
    label      TEXT,
    ends_at    INTEGER NOT NULL,            -- the absolute end
    ended_at   INTEGER,                     -- NULL until the session is ended
    end_reason TEXT,                        -- a stable code
    -- Of opaque access tokens, whose refresh writes this row anyway; NULL with JWTs.
    access_token             BLOB,          -- SHA-256
    access_token_expires_at  INTEGER,
    refresh_token_expires_at INTEGER,
    -- When a sweep is to look at the session again. Never later than the moment at which the session was known to be
    -- over when this was last written; a refresh prolongs the token without telling, and the sweep that comes to look
    -- moves this on. So a refresh changes no index.
    check_at   INTEGER NOT NULL,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_check ON sessions (check_at);

-- The row that a refresh changes, in place. No index on a column that a refresh changes.
CREATE TABLE refresh_tokens (
    token      TEXT    NOT NULL PRIMARY KEY,  -- the lookup key: the session's id, or the hash of a bare token, in base64url
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,              -- idle expiry of the current token
    revoked_at INTEGER,                       -- NULL until the session is ended
    session_id      TEXT    NOT NULL,
    session_ends_at INTEGER NOT NULL,         -- sessions.ends_at, which never changes
    generation      INTEGER NOT NULL,         -- how many rotations came before
    secret_hash     BLOB    NOT NULL,         -- SHA-256 of the current token's secret
    recent          BLOB    NOT NULL,         -- the last four spent generations, 28 bytes each
    CHECK (generation BETWEEN 0 AND 4294967295),
    CHECK (length(secret_hash) = 32),
    CHECK (length(recent) IN (0, 28, 56, 84, 112))
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id);
