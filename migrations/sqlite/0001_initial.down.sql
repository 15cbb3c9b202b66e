-- Children first: dropping a table deletes its rows, and rows that others refer to cannot go.
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE users;
