-- The users of portcullis. Text is compared byte for byte (BINARY, SQLite's default).
CREATE TABLE portcullis_users (
    user_id           TEXT    NOT NULL PRIMARY KEY,
    username          TEXT    NOT NULL UNIQUE,
    password_hash     TEXT,             -- NULL while no password is set
    status            TEXT    NOT NULL, -- 'disabled' or 'enabled'
    scopes            TEXT    NOT NULL, -- a JSON array of strings
    tokens_valid_from INTEGER NOT NULL  -- microseconds since 1970
) STRICT;
