-- Adds a token or a family, unless its hash is taken.
-- KEYS: the token or family. ARGV: when Redis may drop it, then fields and their values.
if redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIREAT', KEYS[1], ARGV[1])
return 1
