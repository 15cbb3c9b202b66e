//! Fakes that behave like the real thing, where the real thing is slow on purpose.

use async_trait::async_trait;
use regrant_domain::ports::{Passwords, PortError, Verdict};
use regrant_domain::user::{Password, PasswordHash};
use sha2::{Digest, Sha256};

/// Hashes at no cost.
pub(crate) struct QuickPasswords;

fn hash(password: &Password) -> PasswordHash {
    PasswordHash::new(format!("quick:{}", hex::encode(Sha256::digest(password.expose()))))
}

#[async_trait]
impl Passwords for QuickPasswords {
    async fn hash(&self, password: Password) -> Result<PasswordHash, PortError> {
        Ok(hash(&password))
    }

    async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, PortError> {
        Ok(if stored == Some(hash(&password)) { Verdict::Matches } else { Verdict::Differs })
    }
}
