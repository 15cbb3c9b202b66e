//! Keys that sign access tokens, and keys that check them. Read once; nothing is parsed when a request comes in.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regrant_domain::ports::Randomness;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::pem::{self, Form, Found};

/// Shortest key of HS256 in bytes (RFC 8725 §3.5, RFC 7518 §3.2).
const MIN_SECRET: usize = 32;
/// Shortest modulus of RS256 in bits (RFC 7518 §3.3), and the longest that can be checked.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How access tokens are signed. The key fixes it, never the token (RFC 8725 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    #[default]
    Es256,
    /// Ed25519 (RFC 8037 §3.1).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// HMAC with SHA-256 (RFC 7518 §3.2).
    Hs256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Hs256];

    /// The value of `alg` (RFC 7518 §3.1, RFC 8037 §3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// As the JWT library names it.
    pub(super) const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }

    const fn needs(self) -> &'static str {
        match self {
            Self::Es256 => "an elliptic curve private key on P-256 in PEM form (PKCS#8 or SEC 1)",
            Self::EdDsa => "an Ed25519 private key in PEM form (PKCS#8)",
            Self::Rs256 => "an RSA private key of 2048 to 8192 bits in PEM form (PKCS#8 or PKCS#1)",
            Self::Hs256 => "at least 32 random bytes as hex or base64",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(UnknownAlgorithm)
    }
}

/// Not the name of an [`Algorithm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected ES256, EdDSA, RS256 or HS256")]
pub struct UnknownAlgorithm;

/// A file does not hold the key that the algorithm needs. Nothing of its content is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{algorithm} needs {}; found {found}", .algorithm.needs())]
pub struct InvalidSigningKey {
    /// What it was to be used for.
    pub algorithm: Algorithm,
    /// What it is instead.
    pub found: Found,
}

/// The key that signs access tokens. Not printed.
pub struct SigningKey {
    private: Private,
    public: VerifyingKey,
}

/// The key as the cryptographic library has parsed it. (The JWT library would parse it anew for each signature, which
/// takes about as long as to sign; and likewise for each check.)
enum Private {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(rsa::KeyPair),
    Hs256(Box<hmac::Key>),
}

impl SigningKey {
    /// Reads a key file: PEM for ES256, `EdDSA` and RS256; hex or base64 for HS256.
    ///
    /// # Errors
    /// [`InvalidSigningKey`] says what was expected and what was found.
    pub fn from_file_contents(algorithm: Algorithm, text: &str) -> Result<Self, InvalidSigningKey> {
        match algorithm {
            Algorithm::Hs256 => Self::from_secret_text(text),
            _ => Self::from_pem(algorithm, text),
        }
        .map_err(|found| InvalidSigningKey { algorithm, found })
    }

    /// The text of a key file with a new key. RSA keys have 2048 bits.
    ///
    /// # Errors
    /// [`KeyGenerationFailed`] when there is no randomness to be had. (Key pairs are made by the cryptographic library,
    /// which brings its own.)
    pub fn generate(algorithm: Algorithm, random: &dyn Randomness) -> Result<Zeroizing<String>, KeyGenerationFailed> {
        Ok(match algorithm {
            Algorithm::Es256 => {
                pem::write(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?.to_pkcs8v1()?.as_ref())
            }
            Algorithm::EdDsa => pem::write(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref()),
            Algorithm::Rs256 => {
                let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(KeySize::Rsa2048)?.as_der()?;
                pem::write(der.as_ref())
            }
            Algorithm::Hs256 => {
                let secret = random.secret(MIN_SECRET).map_err(|_| KeyGenerationFailed)?;
                Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(secret.expose()))))
            }
        })
    }

    /// What checks the tokens that this key signs.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature over `message` (RFC 7515 §5.1, steps 5 and 6).
    ///
    /// # Errors
    /// [`Unspecified`] when there is no randomness to be had, or no memory.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        Ok(match &self.private {
            Private::Es256(key) => key.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Private::EdDsa(key) => key.try_sign(message)?.as_ref().to_vec(),
            Private::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                signature
            }
            Private::Hs256(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }

    fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, Found> {
        let file = pem::read(text)?;
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (private, public) = match (algorithm, file.kind) {
            (Algorithm::Es256, Found::Ec("P-256")) => {
                let key = match file.form {
                    Form::Sec1 => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &file.der),
                    _ => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &file.der),
                }
                .map_err(|_| Found::Inconsistent)?;
                // SEC 1 §2.3.3: 4, then both coordinates.
                let point = key.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).ok_or(Found::Inconsistent)?;
                let jwk = json!({ "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y) });
                let public = VerifyingKey::asymmetric(algorithm, (&ECDSA_P256_SHA256_FIXED, point), jwk)?;
                (Private::Es256(key), public)
            }
            (Algorithm::EdDsa, Found::Ed25519) => {
                let key = Ed25519KeyPair::from_pkcs8(&file.der).map_err(|_| Found::Inconsistent)?;
                let point = key.public_key().as_ref();
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(point) });
                let public = VerifyingKey::asymmetric(algorithm, (&ED25519, point), jwk)?;
                (Private::EdDsa(key), public)
            }
            (Algorithm::Rs256, Found::Rsa(bits)) if RSA_BITS.contains(&bits) => {
                let key = match file.form {
                    Form::Pkcs1 => rsa::KeyPair::from_der(&file.der),
                    _ => rsa::KeyPair::from_pkcs8(&file.der),
                }
                .map_err(|_| Found::Inconsistent)?;
                let PublicKeyComponents::<Vec<u8>> { n, e } = key.public_key().into();
                let jwk = json!({ "kty": "RSA", "n": b64(&n), "e": b64(&e) });
                let der = key.public_key().as_ref();
                let public = VerifyingKey::asymmetric(algorithm, (&RSA_PKCS1_2048_8192_SHA256, der), jwk)?;
                (Private::Rs256(key), public)
            }
            (_, other) => return Err(other),
        };
        Ok(Self { private, public })
    }

    fn from_secret_text(text: &str) -> Result<Self, Found> {
        if pem::is_pem(text) {
            return Err(Found::Pem);
        }
        let text = text.trim();
        let secret = Zeroizing::new(if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            hex::decode(text).map_err(|_| Found::NotText)?
        } else {
            // Either alphabet of RFC 4648, with or without padding.
            let text = Zeroizing::new(text.replace('-', "+").replace('_', "/"));
            STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Found::NotText)?
        });
        if secret.len() < MIN_SECRET {
            return Err(Found::Bytes(secret.len()));
        }
        // A name for the key that says nothing about it: it is random, so its hash cannot be searched for.
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"regrant/kid/1");
        hash.update(&secret);
        let kid = URL_SAFE_NO_PAD.encode(&hash.finish().as_ref()[..16]);
        let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret));
        let public = VerifyingKey { algorithm: Algorithm::Hs256, kid, check: CheckKey::Hs256(key.clone()), jwk: None };
        Ok(Self { private: Private::Hs256(key), public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.public.algorithm, self.public.kid)
    }
}

/// The generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key could not be generated")]
pub struct KeyGenerationFailed;

impl From<Unspecified> for KeyGenerationFailed {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// A key that checks access tokens. (With HS256 it is as secret as the signing key.) Not printed.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    kid: String,
    check: CheckKey,
    jwk: Option<Value>,
}

/// Parsed, like [`Private`].
#[derive(Clone)]
enum CheckKey {
    Asymmetric(ParsedPublicKey),
    Hs256(Box<hmac::Key>),
}

impl VerifyingKey {
    /// How it checks.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name in the header of tokens: the thumbprint of its JWK (RFC 7638 §3), or for HS256 a hash of the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key for others to check tokens with (RFC 7517 §4); `None` for HS256.
    pub fn public_jwk(&self) -> Option<Value> {
        self.jwk.clone()
    }

    /// Whether this is the signature over `message` (RFC 7515 §5.2, step 8), in the algorithm of this key and no other.
    pub(super) fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            CheckKey::Asymmetric(key) => key.verify_sig(message, signature).is_ok(),
            // In constant time.
            CheckKey::Hs256(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// `jwk` has exactly the members that RFC 7638 §3.2 hashes.
    fn asymmetric(
        algorithm: Algorithm,
        (verification, key): (&'static dyn VerificationAlgorithm, &[u8]),
        mut jwk: Value,
    ) -> Result<Self, Found> {
        let check = ParsedPublicKey::new(verification, key).map_err(|_| Found::Inconsistent)?;
        let kid = thumbprint(&jwk);
        jwk["use"] = "sig".into();
        jwk["alg"] = algorithm.name().into();
        jwk["kid"] = kid.clone().into();
        Ok(Self { algorithm, kid, check: CheckKey::Asymmetric(check), jwk: Some(jwk) })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.algorithm, self.kid)
    }
}

/// SHA-256 over the members in the order of their names, without blanks (RFC 7638 §3.1).
pub(super) fn thumbprint(jwk: &Value) -> String {
    // Sorted here, because a map of this library keeps whichever order a feature of some crate asks for.
    let members: std::collections::BTreeMap<_, _> = jwk.as_object().into_iter().flatten().collect();
    let canonical: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let canonical = format!("{{{}}}", canonical.join(","));
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}
