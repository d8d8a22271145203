-- Adds a user, unless the username or the id is taken.
-- KEYS: the user, all ids, all usernames. ARGV: username, user id, then fields and their values.
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then
    return 0
end
redis.call('ZADD', KEYS[3], 0, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[1], 'user_id', unpack(ARGV, 2))
return 1
