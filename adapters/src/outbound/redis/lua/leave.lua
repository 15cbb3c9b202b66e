-- KEYS: the set of a user's sessions. ARGV: seconds that a member must have been noted for, then members.
-- Takes members out. One that was noted a moment ago may be of a session that is just being opened, and stays.
local now = tonumber(redis.call('TIME')[1])
for i = 2, #ARGV do
  local noted = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if noted and tonumber(noted) <= now - tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 0
