//! The token key file: a text with one key a line, `<id> <64 hex characters>`. The first key is the current one; the
//! others are still honoured. `#` begins a comment line.
//!
//! Deliberately absent: the disk (the text comes and goes as a value), and the content of a line in any error.

use std::fmt::Write as _;

use regrant_domain::ports::{PortError, Randomness};
use regrant_domain::token_key::{DuplicateKeyId, TokenKey, TokenKeyId, TokenKeyRing};
use zeroize::Zeroizing;

/// Reads a key file.
///
/// # Errors
/// [`InvalidKeyFile`] names the line, never what it holds.
pub fn parse(text: &str) -> Result<TokenKeyRing, InvalidKeyFile> {
    let mut keys = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|(line, number)| key(line).map_err(|fault| InvalidKeyFile::Line { line: number, fault }));
    let current = keys.next().ok_or(InvalidKeyFile::NoKey)??;
    let earlier = keys.collect::<Result<Vec<_>, _>>()?;
    Ok(TokenKeyRing::new(current, earlier)?)
}

/// The text of a key file with one new key.
///
/// # Errors
/// [`PortError`] when there is no randomness to be had.
pub fn generate(id: TokenKeyId, randomness: &dyn Randomness) -> Result<Zeroizing<String>, PortError> {
    const COMMENTS: &str = "\
# Token keys of Regrant. Keep this file secret, and keep a copy of it: without it, every session is lost.
# One key a line: id (0 to 255), blank, 64 hex characters. The first is used; the others are still honoured.
# To replace the key: regrant keys rotate token
";
    let secret = randomness.secret(TokenKey::LEN)?;
    let mut hex = Zeroizing::new([0; 2 * TokenKey::LEN]);
    hex::encode_to_slice(secret.expose(), &mut *hex).map_err(|error| PortError::corrupt("randomness", error))?;
    // All of it at once: a string that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(COMMENTS.len() + 8 + hex.len()));
    // Writing to a string cannot fail.
    let _ = write!(text, "{COMMENTS}{} ", id.0);
    text.extend(hex.iter().copied().map(char::from));
    text.push('\n');
    Ok(text)
}

fn key(line: &str) -> Result<TokenKey, KeyFault> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(hex), None) = (words.next(), words.next(), words.next()) else { return Err(KeyFault::Shape) };
    if !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(KeyFault::Id);
    }
    let id = id.parse().map_err(|_| KeyFault::Id)?;
    let mut material = Zeroizing::new([0; TokenKey::LEN]);
    hex::decode_to_slice(hex, &mut *material).map_err(|_| KeyFault::Material)?;
    Ok(TokenKey::new(TokenKeyId(id), &material))
}

/// Why a text is not a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyFile {
    /// Only comments and blank lines.
    #[error("it holds no key")]
    NoKey,
    /// A line that is no key.
    #[error("line {line}: {fault}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// Two keys share an id.
    #[error(transparent)]
    DuplicateId(#[from] DuplicateKeyId),
}

/// What is wrong with a line of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not two words.
    #[error("expected an id, a blank and 64 hex characters")]
    Shape,
    /// The first word is not a number of one byte.
    #[error("the id must be a number from 0 to 255")]
    Id,
    /// The second word is not a key.
    #[error("the key must be 64 hex characters (32 bytes)")]
    Material,
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrant_domain::ports::MockRandomness;
    use regrant_domain::testing::Counting;

    fn tag(ring: &TokenKeyRing, id: u8) -> Option<[u8; 16]> {
        ring.get(TokenKeyId(id)).map(|key| key.tag(&[b"x"]))
    }

    #[test]
    fn what_is_generated_can_be_read() {
        let text = generate(TokenKeyId(7), &Counting::default()).expect("randomness");
        let ring = parse(&text).expect("well formed");
        assert_eq!(ring.current().id(), TokenKeyId(7));
        let mut material = [0; 32];
        (material[15], material[31]) = (1, 1);
        assert_eq!(tag(&ring, 7), Some(TokenKey::new(TokenKeyId(7), &material).tag(&[b"x"])));
    }

    #[test]
    fn the_first_key_is_current_and_comments_and_blanks_do_not_count() {
        let (a, b) = ("0a".repeat(32), "0B".repeat(32));
        let ring = parse(&format!("# old\r\n\n \t2   {a}  \r\n  # 9 x\n0 {b}")).expect("well formed");
        assert_eq!(ring.current().id(), TokenKeyId(2));
        assert_eq!(tag(&ring, 0), Some(TokenKey::new(TokenKeyId(0), &[0x0b; 32]).tag(&[b"x"])));
        assert_eq!(tag(&ring, 9), None);
    }

    #[test]
    fn faults_are_named_with_their_line_and_without_its_content() {
        let good = format!("1 {}", "ab".repeat(32));
        let fault = |line, fault| InvalidKeyFile::Line { line, fault };
        for (text, expected) in [
            (String::new(), InvalidKeyFile::NoKey),
            ("# 1 ab\n\n".into(), InvalidKeyFile::NoKey),
            ("cafecafe".into(), fault(1, KeyFault::Shape)),
            (format!("{good} more"), fault(1, KeyFault::Shape)),
            (format!("#\n{good}\n2 cafe"), fault(3, KeyFault::Material)),
            (format!("{good}0"), fault(1, KeyFault::Material)),
            (format!("1 {}", "xy".repeat(32)), fault(1, KeyFault::Material)),
            (format!("1 {}", "é".repeat(32)), fault(1, KeyFault::Material)),
            (format!("25{}", good.replacen('1', "6", 1)), fault(1, KeyFault::Id)),
            (format!("+{good}"), fault(1, KeyFault::Id)),
            (format!("-{good}"), fault(1, KeyFault::Id)),
            (format!("{good}\n{good}"), InvalidKeyFile::DuplicateId(DuplicateKeyId(1))),
        ] {
            let error = parse(&text).expect_err("faulty");
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("cafe"));
        }
    }

    #[test]
    fn without_randomness_there_is_no_key() {
        let mut none = MockRandomness::new();
        none.expect_secret().returning(|_| Err(PortError::unavailable("randomness", "gone")));
        assert!(generate(TokenKeyId(1), &none).is_err());
        let mut short = MockRandomness::new();
        short.expect_secret().returning(|_| Ok(regrant_domain::secret::Secret::new(vec![1; 3])));
        assert!(generate(TokenKeyId(1), &short).is_err());
    }
}
