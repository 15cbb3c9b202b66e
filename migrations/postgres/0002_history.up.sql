-- What happened to sessions and accounts, kept for `history.retention`. No secret, and nothing that happens all the time.
--
-- Rows are inserted and deleted, never changed. Locks are taken after those of `users`.

CREATE TABLE history (
    at         timestamptz NOT NULL,
    subject    uuid        NOT NULL,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    id         bytea       NOT NULL CHECK (octet_length(id) = 16),
    what       text COLLATE "C" NOT NULL,
    reason     text,
    ip         text,
    user_agent text,
    PRIMARY KEY (subject, at, id)
);

CREATE INDEX history_user_id ON history (user_id);
CREATE INDEX history_at ON history (at);

COMMENT ON COLUMN history.subject IS 'the session; of an account, the user';
COMMENT ON COLUMN history.id IS 'a hash of all that the row says: the same, kept twice, is one row';
COMMENT ON COLUMN history.what IS 'a stable code';
COMMENT ON COLUMN history.reason IS 'of an end, sessions.end_reason';
