-- The families of refresh tokens of portcullis that are good.
CREATE TABLE portcullis_refresh (
    key        BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the id that all tokens of a family have
    sub        TEXT    NOT NULL, -- a user id, of users who may be in another database
    record     TEXT    NOT NULL, -- what only portcullis reads
    expires_at INTEGER NOT NULL  -- seconds since 1970
) STRICT, WITHOUT ROWID;

CREATE INDEX portcullis_refresh_by_sub ON portcullis_refresh (sub);
CREATE INDEX portcullis_refresh_by_expires_at ON portcullis_refresh (expires_at);
