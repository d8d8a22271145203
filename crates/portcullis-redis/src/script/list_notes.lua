-- Lists some tokens or families of a user, those that Redis drops last first, and forgets those it
-- has dropped. That is a change, so that a server which has been taken over from, and may lack some,
-- refuses.
-- KEYS: the notes of the user. ARGV: the one to go on behind, or none of them; how many.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
local first = rank and rank + 1 or 0
return redis.call('ZRANGE', KEYS[1], first, first + ARGV[2] - 1, 'REV')
