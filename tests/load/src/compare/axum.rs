//! What an HTTP service costs that does next to nothing: axum as its own documentation shows it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use clap::Args;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{Failure, deployment};

/// Says hello.
pub(super) const HELLO: &str = "/hello";
/// Verifies an access token, and says whose it is.
pub(super) const VERIFY: &str = "/verify";

/// See [`serve`].
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folder of the service's keys
    #[arg(long)]
    keys: PathBuf,
    #[arg(long)]
    listen: SocketAddr,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
}

struct Key {
    key: DecodingKey,
    validation: Validation,
}

/// Serves until it is ended.
pub(crate) fn serve(options: &Options) -> Result<(), Failure> {
    let jwk =
        deployment::signing_key(&options.keys)?.verifying_key().public_jwk().ok_or("the key has no public part")?;
    let key = DecodingKey::from_jwk(&serde_json::from_value::<Jwk>(jwk)?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_aud = false;
    let router = Router::new()
        .route(HELLO, get(async || "Hello, World!"))
        .route(VERIFY, get(verify))
        .with_state(Arc::new(Key { key, validation }));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(options.listen).await?;
        Ok(axum::serve(listener, router).await?)
    })
}

async fn verify(State(key): State<Arc<Key>>, headers: HeaderMap) -> Result<String, StatusCode> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation);
    let claims = decoded.map_err(|_| StatusCode::UNAUTHORIZED)?.claims;
    Ok(format!(r#"{{"id":"{}"}}"#, claims.sub))
}
