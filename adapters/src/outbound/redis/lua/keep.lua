-- Every script gets this first.
--
-- Fields of a session's hash: u user, i id (only where the key does not say it), c opened at, x ends at, g generation,
-- h hash, t idle expiry, a and b hash and expiry of an access token that is kept, 0 to 3 what was spent (the last one
-- latest), n the attempt that wrote last, e ended at, w why, A, B, … the device. Instants are milliseconds since 1970,
-- in decimal.

-- Says when the server may forget the key, and returns 1 if that is later than `retention` after `over`, the instant
-- from which the session is of no use. The server's clock has no part in what is valid; but it alone knows when a key
-- expires, so a session that was over long before it was written is kept for the retention from now on.
local function keep(key, over, retention)
  local slack = 300000
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local late = over < now - slack
  local until_ms = math.max((late and now or over) + retention, now + slack)
  redis.call('PEXPIREAT', key, string.format('%.0f', until_ms))
  return late and 1 or 0
end
