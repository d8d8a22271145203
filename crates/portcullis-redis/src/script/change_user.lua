-- Sets fields of a user, if it is still the one with this id.
-- KEYS: the user. ARGV: user id, then fields and their values.
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
