-- KEYS: session. ARGV: instant by which it must have been over (or an empty one: in any case), '1' to remove it or '0' to
-- tell only. Returns {1, user, id} when it is to go, {0} when not there, {2, over} when it is to be kept.
local row = redis.call('HMGET', KEYS[1], 'u', 'i', 't', 'x', 'e')
local user, id = row[1] or '', row[2] or ''
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {0}
end
if ARGV[1] ~= '' then
  local over
  for i = 3, 5 do
    local instant = row[i] and tonumber(row[i])
    if instant and (not over or instant < over) then
      over = instant
    end
  end
  if not over or over > tonumber(ARGV[1]) then
    return {2, string.format('%.0f', over or 0)}
  end
end
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[1])
end
return {1, user, id}
