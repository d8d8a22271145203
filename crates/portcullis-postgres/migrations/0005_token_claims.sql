-- What else an access token says. NULL in tokens that were made before.
ALTER TABLE tokens
    ADD COLUMN sid     bytea,       -- the login, NULL if it has no name
    ADD COLUMN cut_off timestamptz, -- of the user, when the token was made
    ADD COLUMN extra   bytea;       -- a JSON object, NULL if it is empty
