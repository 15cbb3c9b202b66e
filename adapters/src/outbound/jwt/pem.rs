//! Private keys as files hold them: PEM (RFC 7468) around PKCS#8 (RFC 5208), SEC 1 (RFC 5915) or PKCS#1 (RFC 8017).
//!
//! Read only as far as it takes to say what a file holds; the cryptographic library reads the key itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A private key in DER, its form, and what it is said to be.
pub(super) struct PrivateKeyFile {
    pub(super) form: Form,
    pub(super) der: Zeroizing<Vec<u8>>,
    pub(super) kind: Found,
}

/// How the DER is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Pkcs8,
    Sec1,
    Pkcs1,
}

/// What was found where a signing key was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// No PEM block.
    NoPem,
    /// A PEM block where a text without one was expected.
    Pem,
    /// A PEM block that cannot be read.
    DamagedPem,
    /// A public key or certificate.
    Public,
    /// A private key under a pass phrase.
    Encrypted,
    /// A private key in the form of OpenSSH.
    OpenSsh,
    /// An RSA key with a modulus of so many bits.
    Rsa(usize),
    /// An elliptic curve key on this curve.
    Ec(&'static str),
    /// An Ed25519 key.
    Ed25519,
    /// A private key of another kind.
    Other,
    /// The right kind of key, but its parts do not fit together.
    Inconsistent,
    /// So many bytes of key.
    Bytes(usize),
    /// Neither hex nor base64.
    NotText,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPem => f.write_str("no PEM block"),
            Self::Pem => f.write_str("a PEM block"),
            Self::DamagedPem => f.write_str("a damaged PEM block"),
            Self::Public => f.write_str("a public key or certificate"),
            Self::Encrypted => f.write_str("a key under a pass phrase"),
            Self::OpenSsh => f.write_str("a key in the form of OpenSSH"),
            Self::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            Self::Ec(curve) => write!(f, "an elliptic curve key on {curve}"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Other => f.write_str("a key of another kind"),
            Self::Inconsistent => f.write_str("a key whose parts do not fit together"),
            Self::Bytes(len) => write!(f, "{len} bytes"),
            Self::NotText => f.write_str("text that is neither hex nor base64"),
        }
    }
}

/// Whether there is anything of PEM in the text.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// The first private key of a file. (`openssl ecparam` writes its parameters before it.)
pub(super) fn read(text: &str) -> Result<PrivateKeyFile, Found> {
    let mut rest = text;
    let mut seen = Found::NoPem;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----").ok_or(Found::DamagedPem)?;
        let (body, after) = after.split_once(&format!("-----END {label}-----")).ok_or(Found::DamagedPem)?;
        rest = after;
        let form = match label {
            "PRIVATE KEY" => Form::Pkcs8,
            "EC PRIVATE KEY" => Form::Sec1,
            "RSA PRIVATE KEY" => Form::Pkcs1,
            "ENCRYPTED PRIVATE KEY" => return Err(Found::Encrypted),
            "OPENSSH PRIVATE KEY" => return Err(Found::OpenSsh),
            _ if label.ends_with("PUBLIC KEY") || label.ends_with("CERTIFICATE") => {
                seen = Found::Public;
                continue;
            }
            _ => continue,
        };
        // RFC 1421 headers, which OpenSSL writes for keys under a pass phrase.
        if body.contains("ENCRYPTED") {
            return Err(Found::Encrypted);
        }
        let body: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
        let der = Zeroizing::new(STANDARD.decode(&*body).map_err(|_| Found::DamagedPem)?);
        let kind = kind(form, &der).ok_or(Found::DamagedPem)?;
        return Ok(PrivateKeyFile { form, der, kind });
    }
    Err(seen)
}

/// A PEM block of PKCS#8 (RFC 7468 §10).
pub(super) fn write(der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 64 + 64));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
/// `[0]`, the parameters of an `ECPrivateKey` (RFC 5915 §3).
const PARAMETERS: u8 = 0xa0;

fn kind(form: Form, der: &[u8]) -> Option<Found> {
    match form {
        Form::Pkcs8 => {
            let (key, _) = element(SEQUENCE, der)?;
            let (_version, key) = element(INTEGER, key)?;
            let (algorithm, key) = element(SEQUENCE, key)?;
            let (id, parameters) = element(OBJECT_ID, algorithm)?;
            Some(match id {
                // 1.2.840.113549.1.1.1, rsaEncryption
                [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => rsa(element(OCTET_STRING, key)?.0)?,
                // 1.2.840.10045.2.1, id-ecPublicKey
                [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => curve(element(OBJECT_ID, parameters)?.0),
                // 1.3.101.112, id-Ed25519
                [0x2b, 0x65, 0x70] => Found::Ed25519,
                _ => Found::Other,
            })
        }
        Form::Sec1 => {
            let (key, _) = element(SEQUENCE, der)?;
            let (_version, key) = element(INTEGER, key)?;
            let (_scalar, key) = element(OCTET_STRING, key)?;
            let (parameters, _) = element(PARAMETERS, key)?;
            Some(curve(element(OBJECT_ID, parameters)?.0))
        }
        Form::Pkcs1 => rsa(der),
    }
}

fn rsa(der: &[u8]) -> Option<Found> {
    let (key, _) = element(SEQUENCE, der)?;
    let (_version, key) = element(INTEGER, key)?;
    let (modulus, _) = element(INTEGER, key)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let unused = modulus.get(zeros).map_or(0, |first| first.leading_zeros() as usize);
    Some(Found::Rsa((modulus.len() - zeros) * 8 - unused))
}

fn curve(id: &[u8]) -> Found {
    Found::Ec(match id {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => "P-256",
        [0x2b, 0x81, 0x04, 0x00, 0x22] => "P-384",
        [0x2b, 0x81, 0x04, 0x00, 0x23] => "P-521",
        [0x2b, 0x81, 0x04, 0x00, 0x0a] => "secp256k1",
        _ => "another curve",
    })
}

/// The content of a DER element with this tag, and what follows it (X.690 §8.1, §10.1).
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x82 => {
            let (len, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (len.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(len)
}
