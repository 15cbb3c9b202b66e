-- KEYS: session. ARGV: attempt, over, retention, then field and value by turns.
-- Returns {1, late} when kept, {0, 0} when the key is taken.
local writer = redis.call('HGET', KEYS[1], 'n')
if writer == ARGV[1] then
  redis.call('HSET', KEYS[1], 'n', ARGV[1]) -- a write, so that an acknowledgement has something to wait for
  return {1, 0}
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return {0, 0}
end
redis.call('HSET', KEYS[1], 'n', ARGV[1], unpack(ARGV, 4))
return {1, keep(KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]))}
