-- How often passwords were tried, by account.
CREATE TABLE portcullis_throttle (
    key        BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of a username, of a user or not
    record     TEXT    NOT NULL, -- what only portcullis reads
    expires_at INTEGER NOT NULL  -- seconds since 1970
) STRICT, WITHOUT ROWID;

CREATE INDEX portcullis_throttle_by_expires_at ON portcullis_throttle (expires_at);
