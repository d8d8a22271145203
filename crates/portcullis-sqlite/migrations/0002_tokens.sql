-- The opaque access tokens of portcullis that are good, by their hashes.
CREATE TABLE portcullis_tokens (
    token_hash BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the token
    iss        TEXT    NOT NULL,
    sub        TEXT    NOT NULL, -- a user id, of users who may be in another database
    aud        TEXT    NOT NULL, -- a JSON array of strings
    exp        INTEGER NOT NULL, -- seconds since 1970
    iat        INTEGER NOT NULL, -- seconds since 1970
    jti        TEXT    NOT NULL,
    client_id  TEXT,             -- NULL if the client did not say
    scopes     TEXT    NOT NULL  -- a JSON array of strings
) STRICT, WITHOUT ROWID;

CREATE INDEX portcullis_tokens_by_sub ON portcullis_tokens (sub);
CREATE INDEX portcullis_tokens_by_exp ON portcullis_tokens (exp);
