-- Deletes a user, if it is still the one with this id.
-- KEYS: the user, all ids, all usernames. ARGV: user id, username.
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[2])
return 1
