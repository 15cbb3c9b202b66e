//! A deployment's store and keys, opened directly: to fill the store with sessions, and to check what the service made.

use std::path::Path;
use std::sync::Arc;

use regrant_adapters::outbound::jwt::{Algorithm, JwtAccessTokens, JwtOptions, SigningKey};
use regrant_adapters::outbound::postgres::{PostgresOptions, PostgresStore};
use regrant_adapters::outbound::redis::{RedisOptions, RedisStore};
use regrant_adapters::outbound::sqlite::SqliteStore;
use regrant_adapters::outbound::{private_file, token_keys};
use regrant_domain::ports::Portable;
use regrant_domain::token_key::TokenKeyRing;

use crate::Failure;

/// The files that the service makes on its first run.
const TOKEN_KEY: &str = "token.key";
const SIGNING_KEY: &str = "access-es256.pem";
/// `iss` and `aud`, where the configuration names no other.
const ISSUER: &str = "regrant";

/// Where users and sessions are kept.
pub(crate) struct Place {
    pub(crate) users: Arc<dyn Portable>,
    pub(crate) sessions: Arc<dyn Portable>,
    /// Where the sessions are.
    pub(crate) url: String,
}

impl Place {
    /// By URL: `sqlite:FILE`, `postgres://…`, or `redis…://…` with users elsewhere.
    pub(crate) async fn open(store: &str, users: Option<&str>) -> Result<Self, Failure> {
        let sessions = open(store).await?;
        let users = match users {
            Some(users) => open(users).await?,
            None if store.starts_with("redis") => return Err("Redis keeps no users: say where they are".into()),
            None => sessions.clone(),
        };
        Ok(Self { users, sessions, url: store.to_owned() })
    }

    /// Whether nobody is there.
    pub(crate) async fn is_empty(&self) -> Result<bool, Failure> {
        Ok(self.users.users_after(None, 1).await?.is_empty() && self.sessions.sessions_after(None, 1).await?.is_empty())
    }
}

async fn open(url: &str) -> Result<Arc<dyn Portable>, Failure> {
    if let Some(file) = url.strip_prefix("sqlite:") {
        Ok(Arc::new(SqliteStore::open(Path::new(file)).await?))
    } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        Ok(Arc::new(PostgresStore::connect(&PostgresOptions::new(url)).await?))
    } else if url.starts_with("redis") {
        Ok(Arc::new(RedisStore::connect(&RedisOptions::new(url)).await?))
    } else {
        Err("a store is sqlite:FILE, postgres://… or redis://…".into())
    }
}

/// The token keys in a folder of keys.
pub(crate) fn token_keys(folder: &Path) -> Result<Arc<TokenKeyRing>, Failure> {
    let text = read(&folder.join(TOKEN_KEY))?;
    Ok(Arc::new(token_keys::parse(&text)?))
}

/// The key that signs access tokens, in a folder of keys.
pub(crate) fn signing_key(folder: &Path) -> Result<SigningKey, Failure> {
    Ok(SigningKey::from_file_contents(Algorithm::Es256, &read(&folder.join(SIGNING_KEY))?)?)
}

/// What makes and checks access tokens as the service does.
pub(crate) fn access_tokens(folder: &Path) -> Result<JwtAccessTokens, Failure> {
    let options = JwtOptions { issuer: ISSUER.to_owned(), audience: ISSUER.to_owned() };
    Ok(JwtAccessTokens::new(options, signing_key(folder)?, Vec::new()))
}

fn read(file: &Path) -> Result<impl std::ops::Deref<Target = String> + use<>, Failure> {
    private_file::read(file).map_err(|error| format!("{}: {error}", file.display()).into())
}
