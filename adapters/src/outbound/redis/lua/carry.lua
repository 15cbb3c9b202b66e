-- KEYS: session. ARGV: attempt, over, retention, then field and value by turns.
-- Keeps a session that is carried in, if nothing of it is here, or an earlier generation of it that has not ended and
-- the one that comes is later or has ended. Returns {1, late} when written, {0, 0} when not.
local coming = {}
for i = 4, #ARGV, 2 do
  coming[ARGV[i]] = ARGV[i + 1]
end
local row = redis.call('HMGET', KEYS[1], 'e', 'g')
if row[1] then
  return {0, 0}
end
if row[2] then
  if not coming['e'] and tonumber(coming['g']) <= tonumber(row[2]) then
    return {0, 0}
  end
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'n', ARGV[1], unpack(ARGV, 4))
return {1, keep(KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]))}
