-- How often passwords were tried, by account.
CREATE TABLE throttle (
    key        bytea       NOT NULL PRIMARY KEY, -- SHA-256 of a username, of a user or not
    record     bytea       NOT NULL,             -- what only portcullis reads
    expires_at timestamptz NOT NULL
);

CREATE INDEX throttle_expires_at ON throttle (expires_at);
