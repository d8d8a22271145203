-- Moves the cut-off of a user, if it is still the one with this id, to now or to a microsecond after
-- where it stands, whichever is later, and answers where it now stands. Sets the password hash too if
-- there is a new one, and does nothing if the hash is not the old one that is named.
-- KEYS: the user. ARGV: user id, now, then the new hash, if any, then the old hash, if any.
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1]
    or ARGV[4] and redis.call('HGET', KEYS[1], 'password_hash') ~= ARGV[4] then
    return false
end

-- Times are microseconds since 1970 in decimal. Up to the year 9999 they have 18 digits, more than a
-- number of Lua holds: so they are taken apart into seconds and the rest.
local function split(time)
    local digits = string.rep('0', 18 - #time) .. time
    return tonumber(string.sub(digits, 1, 12)), tonumber(string.sub(digits, 13))
end

local stored = redis.call('HGET', KEYS[1], 'tokens_valid_from') or ''
if #stored > 18 or not string.find(stored, '^%d+$') then
    return stored -- which makes no sense, and so does not to who asked
end
local cut_off = ARGV[2]
local now_seconds, now_rest = split(cut_off)
local seconds, rest = split(stored)
if now_seconds < seconds or now_seconds == seconds and now_rest <= rest then
    rest = rest + 1
    if rest == 1000000 then
        seconds, rest = seconds + 1, 0
    end
    cut_off = string.gsub(string.format('%.0f%06.0f', seconds, rest), '^0+(%d)', '%1')
    if seconds > 253402300799 then
        cut_off = stored -- the end of 9999
    end
end

if ARGV[3] then
    redis.call('HSET', KEYS[1], 'password_hash', ARGV[3])
end
redis.call('HSET', KEYS[1], 'tokens_valid_from', cut_off)
return cut_off
