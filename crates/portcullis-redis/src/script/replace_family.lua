-- Replaces the record of a family, if it is the one that was read.
-- KEYS: the family. ARGV: the old record, the new one, when Redis may drop it.
if redis.call('HGET', KEYS[1], 'record') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'record', ARGV[2])
redis.call('EXPIREAT', KEYS[1], ARGV[3])
return 1
