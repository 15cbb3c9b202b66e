-- KEYS: the history of a session or of an account. ARGV: retention, how many of a kind are kept, then instant and entry by
-- turns. An entry begins with its kind. Returns how many are kept. Run twice, it does what it does once.
local latest = 0
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
  latest = math.max(latest, tonumber(ARGV[i]))
end
local retention = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', latest - retention))
local seen = {}
for _, entry in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
  local kind = string.match(entry, '^%["([a-z_]+)"') or ''
  seen[kind] = (seen[kind] or 0) + 1
  if seen[kind] > tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[1], entry)
  end
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', retention + 300000))
return redis.call('ZCARD', KEYS[1])
