-- The families of refresh tokens of portcullis that are good.
CREATE TABLE refresh (
    key        bytea       NOT NULL PRIMARY KEY, -- SHA-256 of the id that all tokens of a family have
    sub        bytea       NOT NULL, -- a user id, of users who may be in another database
    record     bytea       NOT NULL, -- what only portcullis reads
    expires_at timestamptz NOT NULL
);

CREATE INDEX refresh_sub ON refresh (sha256(sub));
CREATE INDEX refresh_expires_at ON refresh (expires_at);
