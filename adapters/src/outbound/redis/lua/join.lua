-- KEYS: the set of a user's sessions. ARGV: instant that it must outlast, retention, member.
-- Notes a session, with the second in which that was done. Returns how many there are.
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[3])
local now = tonumber(time[1]) * 1000
local until_ms = math.max(tonumber(ARGV[1]), now) + tonumber(ARGV[2]) + 300000
if redis.call('PTTL', KEYS[1]) < until_ms - now then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', until_ms))
end
return redis.call('ZCARD', KEYS[1])
