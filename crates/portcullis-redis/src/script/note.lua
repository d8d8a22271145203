-- Notes a token or a family among those of its user, and forgets those that Redis has dropped.
-- KEYS: the notes of the user. ARGV: the token or family, when Redis drops it at the latest.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
redis.call('EXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
return 1
