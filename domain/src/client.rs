//! Programs that may ask about tokens: known by name, and by a secret of which only the hash is kept.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::{Secret, SecretHash};

/// A program that may ask about tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    id: String,
    secret: SecretHash,
}

/// The secret of a client. Not printed, not cloned.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Fewest characters. A shorter one is refused even where its hash is known: the hash is a quick one, which keeps a
    /// secret only if that cannot be guessed.
    pub const MIN_LEN: usize = 32;

    /// Takes over what was sent.
    pub fn received(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A new one: 64 hex characters.
    pub fn of(random: &Secret) -> Self {
        // All of it at once: a string that grows leaves copies behind.
        let mut text = String::with_capacity(2 * random.expose().len());
        text.extend(random.expose().iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(hex_digit));
        Self(Zeroizing::new(text))
    }

    /// The text. Write this only where it is shown to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> SecretHash {
        SecretHash::from_bytes(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

impl Client {
    /// Longest name in bytes.
    pub const MAX_ID: usize = 64;
    /// What stands before a hash.
    const SCHEME: &'static str = "sha256:";

    /// A client with this name and secret.
    ///
    /// # Errors
    /// [`InvalidClient::Name`]
    pub fn new(id: &str, secret: &ClientSecret) -> Result<Self, InvalidClient> {
        let is_name = (1..=Self::MAX_ID).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !is_name {
            return Err(InvalidClient::Name);
        }
        Ok(Self { id: id.to_owned(), secret: secret.hash() })
    }

    /// The name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for Client {
    type Err = InvalidClient;

    /// Reads `name:sha256:<64 hex characters>`.
    fn from_str(text: &str) -> Result<Self, InvalidClient> {
        let (id, hash) = text.split_once(':').ok_or(InvalidClient::Shape)?;
        let hash = hash.strip_prefix(Self::SCHEME).ok_or(InvalidClient::Shape)?;
        let secret = SecretHash::from_bytes(hash_of_hex(hash).ok_or(InvalidClient::Hash)?);
        Ok(Self { secret, ..Self::new(id, &ClientSecret::received(String::new()))? })
    }
}

impl fmt::Display for Client {
    /// As [`Client::from_str`] reads it: what belongs into a configuration. The hash is no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, Self::SCHEME)?;
        self.secret.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn hex_digit(nibble: u8) -> Option<char> {
    char::from_digit(nibble.into(), 16)
}

fn hash_of_hex(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(hash)
}

/// Every client that is known. One name may stand there more than once, with another secret each: so a secret is changed
/// without a moment in which none is accepted.
#[derive(Debug, Clone, Default)]
pub struct Clients(Vec<Client>);

impl Clients {
    /// These.
    pub const fn new(known: Vec<Client>) -> Self {
        Self(known)
    }

    /// Whether there is a client of this name, so that it has to prove itself.
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|client| client.id == id)
    }

    /// Whether this is the secret of that client. Hashes are compared in constant time; names are no secrets.
    pub fn are_right(&self, id: &str, secret: &ClientSecret) -> bool {
        let hash = secret.hash();
        let is_known = self.0.iter().filter(|client| client.id == id).any(|client| client.secret == hash);
        is_known && secret.0.len() >= ClientSecret::MIN_LEN
    }
}

/// Why a text is not a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClient {
    /// Not three parts.
    #[error("it is not of the form name:sha256:<hash>")]
    Shape,
    /// Not a name.
    #[error("the name must be 1 to 64 letters, digits, and . _ -")]
    Name,
    /// Not a hash.
    #[error("the hash must be 64 hex characters: SHA-256 of the secret")]
    Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn secret(text: &str) -> ClientSecret {
        ClientSecret::received(text.to_owned())
    }

    #[test]
    fn what_is_written_is_read() {
        let made = Client::new("gateway", &secret("abc")).expect("a name");
        let text = "gateway:sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(made.to_string(), text);
        assert_eq!(text.parse(), Ok(made.clone()));
        assert_eq!(text.replace("ba78", "BA78").parse(), Ok(made));
    }

    #[test]
    fn what_is_no_client_is_told() {
        let hash = "ab".repeat(32);
        for (text, why) in [
            (String::new(), InvalidClient::Shape),
            ("gateway".into(), InvalidClient::Shape),
            (format!("gateway:{hash}"), InvalidClient::Shape),
            (format!("gateway:md5:{hash}"), InvalidClient::Shape),
            (format!(":sha256:{hash}"), InvalidClient::Name),
            (format!("a b:sha256:{hash}"), InvalidClient::Name),
            (format!("ä:sha256:{hash}"), InvalidClient::Name),
            (format!("{}:sha256:{hash}", "x".repeat(65)), InvalidClient::Name),
            (format!("gateway:sha256:{hash}0"), InvalidClient::Hash),
            (format!("gateway:sha256:{}", &hash[1..]), InvalidClient::Hash),
            (format!("gateway:sha256:{}xy", &hash[2..]), InvalidClient::Hash),
            (format!("gateway:sha256:+f{}", &hash[2..]), InvalidClient::Hash),
        ] {
            assert_eq!(text.parse::<Client>(), Err(why), "{text}");
        }
    }

    #[test]
    fn a_client_is_known_by_its_name_and_any_of_its_secrets() {
        let other = SECRET.replace('0', "f");
        let client = |id, text| Client::new(id, &secret(text)).expect("a name");
        let clients = Clients::new(vec![client("a", SECRET), client("a", &other), client("b", &other)]);
        assert!(clients.knows("a") && clients.knows("b") && !clients.knows("c"));
        for (id, text, right) in
            [("a", SECRET, true), ("a", &*other, true), ("b", &other, true), ("b", SECRET, false), ("c", SECRET, false)]
        {
            assert_eq!(clients.are_right(id, &secret(text)), right, "{id}");
        }
        assert!(!clients.are_right("a", &secret("")));
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_although_its_hash_is_known() {
        let short = &SECRET[1..];
        let client = Client::new("a", &secret(short)).expect("a name");
        assert!(!Clients::new(vec![client]).are_right("a", &secret(short)));
    }

    #[test]
    fn a_new_secret_is_long_and_not_shown() {
        let made = ClientSecret::of(&Secret::new(vec![0xab; 32]));
        assert_eq!(made.expose(), "ab".repeat(32));
        assert!(made.expose().len() >= ClientSecret::MIN_LEN && !format!("{made:?}").contains("ab"));
    }
}
