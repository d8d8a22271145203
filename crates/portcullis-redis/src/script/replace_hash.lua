-- Replaces the password hash of a user, if it is still the one with this id and this hash.
-- KEYS: the user. ARGV: user id, old hash, new hash.
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1]
    or redis.call('HGET', KEYS[1], 'password_hash') ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], 'password_hash', ARGV[3])
return 1
