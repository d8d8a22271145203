-- Deletes a token or a family; if a user is named, only if it is that user's.
-- KEYS: the token or family. ARGV: the user, or nothing.
if ARGV[1] and redis.call('HGET', KEYS[1], 'sub') ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
