-- Asks Regrant about a request, for HAProxy (see haproxy.cfg). Sets these variables of the transaction:
--   regrant_status                       "200", "401", or anything else where nothing is known
--   regrant_user, _session, _expires     what Regrant says of the caller
--   regrant_challenge                    the WWW-Authenticate of a refusal
--
-- Only the Authorization header is handed on, and only names that Regrant itself answered are believed.

local url = os.getenv("REGRANT_VERIFY")

-- HAProxy keeps names in lower case, and values in lists that begin at 0.
local function first(headers, name)
  local values = headers and headers[name]
  return values and values[0]
end

local function verify(txn)
  txn:set_var("txn.regrant_status", "unknown")
  local sent = txn.http:req_get_headers()["authorization"]
  local headers = {}
  if sent then
    -- All of them: more than one is for Regrant to refuse.
    local values = {}
    local at = 0
    while sent[at] do
      values[#values + 1] = sent[at]
      at = at + 1
    end
    headers["authorization"] = values
  end

  local ok, answer = pcall(function()
    return core.httpclient():get({ url = url, headers = headers, timeout = 5000 })
  end)
  if not ok or not answer or not answer.status then
    return
  end
  txn:set_var("txn.regrant_challenge", first(answer.headers, "www-authenticate") or "Bearer")
  local user = first(answer.headers, "x-auth-user")
  local session = first(answer.headers, "x-auth-session")
  local expires = first(answer.headers, "x-auth-expires")
  -- A 200 that names nobody is not Regrant's.
  if answer.status == 200 and user and session and expires then
    txn:set_var("txn.regrant_user", user)
    txn:set_var("txn.regrant_session", session)
    txn:set_var("txn.regrant_expires", expires)
    txn:set_var("txn.regrant_status", "200")
  elseif answer.status == 401 then
    txn:set_var("txn.regrant_status", "401")
  end
end

core.register_action("regrant-verify", { "http-req" }, verify)
