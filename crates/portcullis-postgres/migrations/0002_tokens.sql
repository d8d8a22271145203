-- The opaque access tokens of portcullis that are good, by their hashes.
CREATE TABLE tokens (
    token_hash bytea       NOT NULL PRIMARY KEY, -- SHA-256 of the token
    iss        bytea       NOT NULL,
    sub        bytea       NOT NULL, -- a user id, of users who may be in another database
    aud        bytea[]     NOT NULL,
    exp        timestamptz NOT NULL,
    iat        timestamptz NOT NULL,
    jti        bytea       NOT NULL,
    client_id  bytea,                -- NULL if the client did not say
    scopes     bytea[]     NOT NULL
);

CREATE INDEX tokens_sub ON tokens (sha256(sub));
CREATE INDEX tokens_exp ON tokens (exp);
