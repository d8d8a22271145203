-- The users of portcullis. Each text is kept as its UTF-8 bytes, since `text` cannot hold a NUL and
-- compares as its collation says; `convert_from(username, 'UTF8')` shows it.
CREATE TABLE users (
    user_id           bytea       NOT NULL,
    username          bytea       NOT NULL,
    password_hash     bytea,                -- NULL while no password is set
    status            text        NOT NULL, -- 'disabled' or 'enabled'
    scopes            bytea[]     NOT NULL,
    tokens_valid_from timestamptz NOT NULL,
    -- Ids and usernames may have any length, what an index holds at most 2.7 kB.
    user_id_sha256    bytea GENERATED ALWAYS AS (sha256(user_id)) STORED PRIMARY KEY,
    username_sha256   bytea GENERATED ALWAYS AS (sha256(username)) STORED UNIQUE
);

-- For lists in the order of usernames.
CREATE INDEX users_username_start ON users (substr(username, 1, 64));
