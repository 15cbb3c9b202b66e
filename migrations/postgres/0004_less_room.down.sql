DROP TRIGGER delete_sessions ON refresh_tokens;
DROP FUNCTION delete_sessions_of_deleted_tokens();

COMMENT ON COLUMN refresh_tokens.session_id IS NULL;
COMMENT ON COLUMN sessions.token IS 'the row of refresh_tokens that belongs to this session';

UPDATE sessions SET token = translate(rtrim(encode(uuid_send(id), 'base64'), '='), '+/', '-_') WHERE token IS NULL;
ALTER TABLE sessions ALTER COLUMN token SET NOT NULL;
ALTER TABLE sessions ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
CREATE INDEX sessions_user_id ON sessions (user_id);
