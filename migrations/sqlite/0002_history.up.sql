-- What happened to sessions and accounts, kept for `history.retention`. No secret, and nothing that happens all the time.

CREATE TABLE history (
    subject    TEXT    NOT NULL,  -- the session; of an account, the user
    at         INTEGER NOT NULL,
    id         BLOB    NOT NULL,  -- a hash of all that the row says: the same, kept twice, is one row
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    what       TEXT    NOT NULL,  -- a stable code
    reason     TEXT,              -- of an end, sessions.end_reason
    ip         TEXT,
    user_agent TEXT,
    PRIMARY KEY (subject, at, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX history_by_user ON history (user_id);
CREATE INDEX history_by_at ON history (at);
