-- KEYS: session. ARGV: attempt, retention, generation and hash to come from, generation and hash to go to, now,
-- idle expiry, hash and expiry of an access token to be kept (or two empty ones), 'append' or 'replace', then what was
-- spent, the last one latest.
-- Returns {1, user, idle expiry, end, late} when applied by this attempt, {0} when not, {-1} when the row cannot be.
local row = redis.call('HMGET', KEYS[1], 'g', 'h', 't', 'x', 'u', 'e', 'n', '0', '1', '2', '3')
local generation, hash, expires, ends, user = row[1], row[2], row[3], row[4], row[5]
if not (generation or hash or expires or ends or user) then
  return {0}
end
local expires_ms, ends_ms = tonumber(expires), tonumber(ends)
if not (generation and hash and expires_ms and ends_ms and user) then
  return {-1}
end
if row[6] then
  return {0}
end
if row[7] == ARGV[1] and generation == ARGV[5] and hash == ARGV[6] then
  redis.call('HSET', KEYS[1], 'n', ARGV[1]) -- a write, so that an acknowledgement has something to wait for
  return {1, user, expires, ends, 0}
end
local now = tonumber(ARGV[7])
if generation ~= ARGV[3] or hash ~= ARGV[4] or now >= expires_ms or now >= ends_ms then
  return {0}
end

local spent = {}
if ARGV[11] == 'append' then
  for i = 8, 11 do
    if row[i] then
      spent[#spent + 1] = row[i]
    end
  end
end
for i = 12, #ARGV do
  spent[#spent + 1] = ARGV[i]
end
while #spent > 4 do
  table.remove(spent, 1)
end

if tonumber(ARGV[8]) < ends_ms then
  expires = ARGV[8]
else
  expires = ends
end
local set = {'g', ARGV[5], 'h', ARGV[6], 't', expires, 'n', ARGV[1]}
if ARGV[9] ~= '' then
  set[#set + 1] = 'a'
  set[#set + 1] = ARGV[9]
  set[#set + 1] = 'b'
  set[#set + 1] = tonumber(ARGV[10]) < ends_ms and ARGV[10] or ends
end
for i = 1, #spent do
  set[#set + 1] = tostring(i - 1)
  set[#set + 1] = spent[i]
end
redis.call('HSET', KEYS[1], unpack(set))
for i = #spent, 3 do
  if row[8 + i] then
    redis.call('HDEL', KEYS[1], tostring(i))
  end
end
return {1, user, expires, ends, keep(KEYS[1], tonumber(expires), tonumber(ARGV[2]))}
