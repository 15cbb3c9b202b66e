-- KEYS: the entry of a session's id. ARGV: instant that it must outlast, retention, the key of its token.
-- Returns 1, or 0 when the id belongs to another key.
local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[3] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[3])
local now = tonumber(redis.call('TIME')[1]) * 1000
local until_ms = math.max(tonumber(ARGV[1]), now) + tonumber(ARGV[2]) + 300000
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', until_ms))
return 1
