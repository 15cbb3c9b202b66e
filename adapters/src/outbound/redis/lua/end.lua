-- KEYS: session. ARGV: attempt, retention, at, reason, generation and hash that must be current (or two empty ones), the
-- id of a session to spare (or an empty one), the id that it must have (or an empty one), '1' if the answer is to be
-- acknowledged by replicas.
-- Returns {1, late, id, over} when ended by this attempt, {2} ended before, {3} holds another token, {4} spared,
-- {0} not there, {-1} when the row cannot be. The id is empty where the key says it.
local row = redis.call('HMGET', KEYS[1], 'g', 'h', 't', 'x', 'u', 'e', 'n', 'i', 'w')
local generation, hash, expires, ends, user = row[1], row[2], row[3], row[4], row[5]
if not (generation or hash or expires or ends or user) then
  return {0}
end
local expires_ms, ends_ms = tonumber(expires), tonumber(ends)
if not (generation and hash and expires_ms and ends_ms and user) then
  return {-1}
end
local id = row[8] or ''
if ARGV[8] ~= '' and ARGV[8] ~= id then
  return {0}
end
if ARGV[7] ~= '' and ARGV[7] == id then
  return {4}
end
if row[6] then
  if ARGV[9] == '1' then
    redis.call('HSET', KEYS[1], 'w', row[9] or '') -- a write, so that an acknowledgement has something to wait for
  end
  if row[7] == ARGV[1] then
    return {1, 0, id, row[6]}
  end
  return {2}
end
if ARGV[5] ~= '' and (generation ~= ARGV[5] or hash ~= ARGV[6]) then
  return {3}
end
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'w', ARGV[4], 'n', ARGV[1])
local over = math.min(tonumber(ARGV[3]), expires_ms, ends_ms)
return {1, keep(KEYS[1], over, tonumber(ARGV[2])), id, string.format('%.0f', over)}
