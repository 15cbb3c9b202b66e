-- KEYS: the set of a user's sessions that have a history. ARGV: retention, then members.
-- Notes them, with the second in which that was done, and drops those whose history the server has forgotten since.
local now = tonumber(redis.call('TIME')[1])
local kept = math.ceil((tonumber(ARGV[1]) + 300000) / 1000)
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - kept - 1))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (kept + 2) * 1000))
return redis.call('ZCARD', KEYS[1])
