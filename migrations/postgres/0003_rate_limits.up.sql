-- How much was asked for lately: a bucket per row, under a hash of what it counts.
--
-- Unlogged: it changes at every sign-in, matters for minutes, and is harmless to lose. Nothing but the key is indexed, so
-- that a take is an update in place.

CREATE UNLOGGED TABLE rate_limits (
    key     bytea  NOT NULL PRIMARY KEY CHECK (octet_length(key) = 16),
    full_at bigint NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE rate_limits IS 'full buckets are forgotten every minute';
COMMENT ON COLUMN rate_limits.full_at IS 'when the bucket is full again, in microseconds since 1970';
