//! A session as fields of a hash, and back. The fields are listed in `lua/keep.lua`.
//!
//! No value is longer than 63 bytes, so that Redis keeps the hash in its compact form
//! (`hash-max-listpack-value`, 64 by default): a third of the memory.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_domain::access_token::KeptAccess;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::NewSession;
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Generation, Held, LookupKey, Recent, Spent, TokenState};
use regrant_domain::secret::SecretHash;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;

/// Longest value.
const CHUNK: usize = 63;
/// The fields that the device is spread over, as many as it needs.
const CHUNKS: RangeInclusive<char> = 'A'..='Z';
/// Bytes of a stored entry of `recent`: those of [`Spent::to_bytes`] without the first two of the instant, which are
/// zero until the year 10889.
const SPENT: usize = Spent::LEN - 2;
/// The same without a retry key.
const KEYLESS: usize = SPENT - 16;

/// A stored row that cannot be, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored session cannot be: {0}")]
pub(super) struct BadRow(pub(super) &'static str);

/// Fields and values by turns.
pub(super) fn fields(new: &NewSession) -> Result<Vec<Vec<u8>>, BadRow> {
    let NewSession { session, lookup, token } = new;
    let mut row: Vec<Vec<u8>> = Vec::with_capacity(32);
    let mut put = |name: &str, value: Vec<u8>| row.extend([name.as_bytes().to_vec(), value]);
    put("u", session.user.as_bytes().to_vec());
    if *lookup != LookupKey::of_session(session.id) {
        put("i", session.id.as_bytes().to_vec());
    }
    put("c", instant(session.created_at));
    put("x", instant(session.ends_at));
    put("g", token.held.generation.0.to_string().into_bytes());
    put("h", token.held.hash.as_bytes().to_vec());
    put("t", instant(token.expires_at));
    if let Some(access) = token.access {
        put("a", access.hash.as_bytes().to_vec());
        put("b", instant(access.expires_at));
    }
    for (at, entry) in token.recent.entries().iter().enumerate() {
        put(&at.to_string(), spent(entry));
    }
    if let Status::Ended { at, reason } = session.status {
        put("e", instant(at));
        put("w", reason.code().as_bytes().to_vec());
    }
    let device = device(&session.device);
    if device.len() > CHUNK * CHUNKS.clone().count() {
        return Err(BadRow("its device is described at too great a length"));
    }
    for (name, chunk) in CHUNKS.zip(device.chunks(CHUNK)) {
        put(&name.to_string(), chunk.to_vec());
    }
    Ok(row)
}

/// When a session was, or will be, of no use any more.
pub(super) fn over(new: &NewSession) -> Timestamp {
    let expired = new.token.expires_at.min(new.session.ends_at);
    match new.session.status {
        Status::Live => expired,
        Status::Ended { at, .. } => expired.min(at),
    }
}

/// An instant as it is stored.
pub(super) fn instant(at: Timestamp) -> Vec<u8> {
    at.millis().to_string().into_bytes()
}

/// An entry of `recent` as it is stored.
pub(super) fn spent(entry: &Spent) -> Vec<u8> {
    let bytes = entry.to_bytes();
    let end = if entry.retry_key.is_some() { Spent::LEN } else { Spent::LEN - 16 };
    [&bytes[..4], &bytes[6..end]].concat()
}

/// A hash as it was read, under this key. Nothing there: no session.
pub(super) fn snapshot(lookup: &LookupKey, fields: HashMap<Vec<u8>, Vec<u8>>) -> Result<Option<Snapshot>, BadRow> {
    if fields.is_empty() {
        return Ok(None);
    }
    let row = Row(fields);
    let id = match row.get("i") {
        Some(id) => SessionId::from_bytes(exactly(id).ok_or(BadRow("its id is not 16 bytes"))?),
        None => id_of(lookup).ok_or(BadRow("it has no id"))?,
    };
    let session = Session {
        id,
        user: UserId::from_bytes(row.get("u").and_then(exactly).ok_or(BadRow("its user is not 16 bytes"))?),
        created_at: row.instant("c")?.ok_or(BadRow("it was never opened"))?,
        ends_at: row.instant("x")?.ok_or(BadRow("it never ends"))?,
        device: row.device()?,
        status: row.status()?,
    };
    let generation = row.get("g").and_then(|g| std::str::from_utf8(g).ok()).and_then(|g| g.parse().ok());
    let token = TokenState {
        held: Held {
            generation: Generation(generation.ok_or(BadRow("its generation is not a number"))?),
            hash: SecretHash::from_bytes(row.get("h").and_then(exactly).ok_or(BadRow("its hash is not 32 bytes"))?),
        },
        expires_at: row.instant("t")?.ok_or(BadRow("its token never expires"))?,
        recent: row.recent()?,
        access: row.access()?,
    };
    Ok(Some(Snapshot { session, lookup: lookup.clone(), token }))
}

struct Row(HashMap<Vec<u8>, Vec<u8>>);

impl Row {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name.as_bytes()).map(Vec::as_slice)
    }

    fn instant(&self, name: &str) -> Result<Option<Timestamp>, BadRow> {
        self.get(name).map(parse_instant).transpose()
    }

    fn status(&self) -> Result<Status, BadRow> {
        match (self.instant("e")?, self.get("w")) {
            (None, None) => Ok(Status::Live),
            (Some(at), Some(code)) => {
                let reason = std::str::from_utf8(code).ok().and_then(|code| code.parse::<EndReason>().ok());
                Ok(Status::Ended { at, reason: reason.ok_or(BadRow("it ended for an unknown reason"))? })
            }
            (None, Some(_)) => Err(BadRow("it has a reason for its end, but no end")),
            (Some(_), None) => Err(BadRow("it ended without a reason")),
        }
    }

    fn access(&self) -> Result<Option<KeptAccess>, BadRow> {
        match (self.get("a"), self.instant("b")?) {
            (None, None) => Ok(None),
            (Some(hash), Some(expires_at)) => {
                let hash = exactly(hash).ok_or(BadRow("the hash of its access token is not 32 bytes"))?;
                Ok(Some(KeptAccess { hash: SecretHash::from_bytes(hash), expires_at }))
            }
            _ => Err(BadRow("it has half an access token")),
        }
    }

    fn recent(&self) -> Result<Recent, BadRow> {
        let mut bytes = Vec::with_capacity(Recent::MAX_BYTES);
        for at in 0..Recent::MAX {
            let Some(entry) = self.get(&at.to_string()) else { break };
            let (generation, rest) = match entry.split_first_chunk::<4>() {
                Some(parts) if matches!(entry.len(), KEYLESS | SPENT) => parts,
                _ => return Err(BadRow("an entry of what was spent has a wrong length")),
            };
            bytes.extend_from_slice(generation);
            bytes.extend_from_slice(&[0; 2]);
            bytes.extend_from_slice(rest);
            bytes.resize((at + 1) * Spent::LEN, 0);
        }
        let recent = Recent::from_bytes(&bytes).map_err(|_| BadRow("what was spent has a wrong length"))?;
        let stored = (0..Recent::MAX).filter(|at| self.get(&at.to_string()).is_some()).count();
        if stored == recent.entries().len() { Ok(recent) } else { Err(BadRow("what was spent has a gap")) }
    }

    fn device(&self) -> Result<Device, BadRow> {
        let bad = BadRow("its device cannot be read");
        let chunks = CHUNKS.map_while(|name| self.get(name.encode_utf8(&mut [0; 4])));
        let bytes = chunks.collect::<Vec<_>>().concat();
        if bytes.is_empty() {
            return Ok(Device::default());
        }
        let mut rest = bytes.as_slice();
        let mut part = || -> Result<Option<String>, BadRow> {
            let Some(len) = length(&mut rest).ok_or(bad)?.checked_sub(1) else { return Ok(None) };
            let (text, after) = rest.split_at_checked(len).ok_or(bad)?;
            rest = after;
            String::from_utf8(text.to_vec()).map(Some).map_err(|_| bad)
        };
        let device = Device { label: part()?, user_agent: part()?, ip: part()? };
        if rest.is_empty() { Ok(device) } else { Err(bad) }
    }
}

/// Label, user agent and address, each behind its length plus one; zero where it is missing. A length has seven bits to
/// the byte, the lowest first, and all its bytes but the last have the highest bit set.
fn device(device: &Device) -> Vec<u8> {
    let mut bytes = Vec::new();
    if *device == Device::default() {
        return bytes;
    }
    for part in [&device.label, &device.user_agent, &device.ip] {
        let mut len = part.as_ref().map_or(0, |part| part.len() + 1);
        while len > 0x7f {
            bytes.push(0x80 | (len & 0x7f).to_le_bytes()[0]);
            len >>= 7;
        }
        bytes.push(len.to_le_bytes()[0]);
        bytes.extend_from_slice(part.as_deref().unwrap_or_default().as_bytes());
    }
    bytes
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let mut len = 0;
    for shift in [0, 7, 14] {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

/// Reads a stored instant.
pub(super) fn parse_instant(text: &[u8]) -> Result<Timestamp, BadRow> {
    let millis = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    let at = millis.map(Timestamp::from_millis).filter(|at| Some(at.millis()) == millis);
    at.ok_or(BadRow("an instant is not one"))
}

/// The bytes, if they are exactly that many.
pub(super) fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// The session that a key names, where it names one.
pub(super) fn id_of(lookup: &LookupKey) -> Option<SessionId> {
    URL_SAFE_NO_PAD.decode(lookup.as_str()).ok().as_deref().and_then(exactly).map(SessionId::from_bytes)
}

/// A key as a member of a set: the bytes that it stands for, which are shorter.
pub(super) fn member(lookup: &LookupKey) -> Vec<u8> {
    match URL_SAFE_NO_PAD.decode(lookup.as_str()) {
        Ok(bytes) if matches!(bytes.len(), 16 | 32) => bytes,
        // No key that we make is of this kind; zeros keep it apart from those that are.
        _ => {
            let text = lookup.as_str().as_bytes();
            let zeros = if matches!(text.len() + 1, 16 | 32) { 2 } else { 1 };
            [&[0, 0][..zeros], text].concat()
        }
    }
}

/// The key that is meant by a member.
pub(super) fn of_member(member: &[u8]) -> Result<LookupKey, BadRow> {
    if matches!(member.len(), 16 | 32) {
        return Ok(LookupKey::stored(URL_SAFE_NO_PAD.encode(member)));
    }
    let start = member.iter().take_while(|byte| **byte == 0).count();
    let text = std::str::from_utf8(&member[start..]).map_err(|_| BadRow("a user's session has no key"))?;
    Ok(LookupKey::stored(text.to_owned()))
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
