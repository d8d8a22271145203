-- What else an access token says. NULL in tokens that were made before.
ALTER TABLE portcullis_tokens ADD COLUMN sid TEXT;        -- the login, NULL if it has no name
ALTER TABLE portcullis_tokens ADD COLUMN cut_off INTEGER; -- microseconds since 1970
ALTER TABLE portcullis_tokens ADD COLUMN extra TEXT;      -- a JSON object, NULL if it is empty
