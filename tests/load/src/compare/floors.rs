//! What the other floors are: the same work without the service around it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use regrant_adapters::outbound::sqlite::{ROTATE, SqliteStore, options};
use regrant_adapters::outbound::system::system_now;
use regrant_domain::access_token::AccessGrant;
use regrant_domain::ids::{AccessTokenId, SessionId, UserId};
use regrant_domain::ports::AccessTokens as _;
use regrant_domain::refresh_token::{Generation, Spent};
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use sqlx::{ConnectOptions as _, Connection as _};

use super::ground::{Deployment, Ground, SEED};
use crate::Failure;
use crate::deployment::{self, Place};
use crate::seed::{PASSWORD, Seed, password_hash};

/// The keys of stores that no service uses.
pub(super) fn ring() -> Result<std::sync::Arc<TokenKeyRing>, Failure> {
    Ok(std::sync::Arc::new(TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[7; 32]), Vec::new())?))
}

/// Counts how often work is done, after a warm-up.
struct Count {
    from: Instant,
    until: Instant,
    done: u64,
}

impl Count {
    fn new(ground: &Ground) -> Self {
        let from = Instant::now() + ground.warm_up();
        Self { from, until: from + ground.length(), done: 0 }
    }

    /// Once more; whether there is time for another.
    fn once(&mut self) -> bool {
        let now = Instant::now();
        self.done += u64::from(now >= self.from);
        now < self.until
    }

    fn per_second(&self) -> f64 {
        self.done as f64 / self.from.elapsed().as_secs_f64()
    }
}

/// One connection that commits one rotation after the other, with the adapter's own settings and statement.
pub(super) async fn sqlite(ground: &Ground) -> Result<f64, Failure> {
    let folder = tempfile::tempdir_in(ground.folder())?;
    let file = folder.path().join("floor.db");
    let seed = Seed::new(SEED, ground.options.sessions);
    let ring = ring()?;
    let store = SqliteStore::open(&file).await?;
    store.close().await;
    seed.fill(&Place::open(&format!("sqlite:{}", file.display()), None).await?, &ring, true).await?;
    let mut connection = options(&file).connect().await?;
    let now = system_now();
    let (at, expires) = (now.plus(Duration::from_secs(1)).millis(), now.plus(Duration::from_hours(60 * 24)).millis());
    // The secrets stay as they are: only the generation tells one rotation from the next.
    let tokens: Vec<_> = (0..seed.sessions).map(|number| seed.token(number, &ring)).collect();
    let keys: Vec<_> = tokens
        .iter()
        .map(|token| (regrant_domain::refresh_token::LookupKey::of_session(token.session), token.held()))
        .collect();
    let mut count = Count::new(ground);
    for turn in 0_u64.. {
        let (round, which) = (turn / seed.sessions, (turn % seed.sessions) as usize);
        let (key, held) = &keys[which];
        let generation = held.generation.0 + round as u32;
        let spent = Spent { generation: Generation(generation), at: now, retry_key: None };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query(ROTATE)
            .bind(key.as_str())
            .bind(generation)
            .bind(&held.hash.as_bytes()[..])
            .bind(generation + 1)
            .bind(&held.hash.as_bytes()[..])
            .bind(at)
            .bind(expires)
            .bind(None::<Vec<u8>>)
            .bind(spent.to_bytes().to_vec())
            .fetch_optional(&mut *transaction)
            .await?;
        row.ok_or("the statement did not rotate")?;
        transaction.commit().await?;
        if !count.once() {
            break;
        }
    }
    let per_second = count.per_second();
    connection.close().await?;
    Ok(per_second)
}

/// Argon2 on all cores, with the parameters of the service's own hashes; hashes a second.
pub(super) async fn argon2(ground: &Ground) -> Result<f64, Failure> {
    let params = parameters(password_hash().await?.as_str()).ok_or("the service's hashes are of another kind")?;
    let (counted, going) = (AtomicU64::new(0), AtomicBool::new(false));
    let until = Instant::now() + ground.warm_up() + ground.length();
    let work = || {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let (mut memory, mut out) = (vec![argon2::Block::default(); params.block_count()], [0; 32]);
        while Instant::now() < until {
            let hashed = argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), &[7; 16], &mut out, &mut memory);
            counted.fetch_add(u64::from(hashed.is_ok() && going.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
        std::thread::sleep(ground.warm_up());
        going.store(true, Ordering::Relaxed);
    });
    Ok(counted.into_inner() as f64 / ground.length().as_secs_f64())
}

/// Of a text like `$argon2id$v=19$m=19456,t=2,p=1$…`.
fn parameters(hash: &str) -> Option<Params> {
    let text = hash.strip_prefix("$argon2id$v=19$")?.split('$').next()?;
    let mut numbers = text.split(',').map(|part| part.split_once('=')?.1.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    Params::new(next()?, next()?, next()?, Some(32)).ok()
}

/// An access token of the service's, made here.
pub(super) fn access_token(deployment: &Deployment) -> Result<String, Failure> {
    let tokens = deployment::access_tokens(deployment.keys())?;
    Ok(tokens.issue(&grant())?.text.expose().to_owned())
}

/// Making access tokens on one core; how many a second.
pub(super) fn signing(ground: &Ground, deployment: &Deployment) -> Result<f64, Failure> {
    let (tokens, grant) = (deployment::access_tokens(deployment.keys())?, grant());
    let mut count = Count::new(ground);
    loop {
        std::hint::black_box(tokens.issue(&grant)?);
        if !count.once() {
            return Ok(count.per_second());
        }
    }
}

fn grant() -> AccessGrant {
    let now = system_now();
    AccessGrant {
        id: AccessTokenId::from_bytes([1; 16]),
        user: UserId::from_bytes([2; 16]),
        session: SessionId::from_bytes([3; 16]),
        issued_at: now,
        expires_at: now.plus(Duration::from_hours(1)),
        email: None,
        kept: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_parameters_are_those_of_the_services_hashes() {
        let params = parameters(password_hash().await.unwrap().as_str()).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (19_456, 2, 1));
        assert!(parameters("$2b$10$abc").is_none());
    }
}
