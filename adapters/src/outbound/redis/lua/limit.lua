-- A bucket: the instant at which it is full again, in microseconds since 1970 (exact in a double until the year 2255).
-- ARGV: now, what is taken (negative: given back), what the bucket holds; all in microseconds.
-- Answers 0, or how many microseconds are missing; then nothing was taken.
local now, amount, depth = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0)
local missing = math.min(math.max(full_at - now, 0), depth) + amount
if amount > 0 and missing > depth then
  return missing - depth
end
if missing <= 0 then
  redis.call('DEL', KEYS[1])
else
  -- A minute longer than it matters: clocks differ a little.
  redis.call('SET', KEYS[1], string.format('%.0f', now + missing), 'PX', math.ceil(missing / 1000) + 60000)
end
return 0
