-- Replaces a record of the throttle, if it is the one that was read.
-- KEYS: the record. ARGV: the new one, when Redis may drop it, then the old one, if there was one.
if redis.call('GET', KEYS[1]) ~= (ARGV[3] or false) then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EXAT', ARGV[2])
return 1
