-- Lists some tokens of a user, those that Redis drops last first.
-- KEYS: the tokens of the user. ARGV: the token to go on behind, or none of them; how many.
local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
local first = rank and rank + 1 or 0
return redis.call('ZRANGE', KEYS[1], first, first + ARGV[2] - 1, 'REV')
