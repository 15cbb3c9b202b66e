//! Secrets of clients: made here, and shown once.

use regrant_adapters::outbound::system::OsRandomness;
use regrant_domain::client::{Client, ClientSecret};
use regrant_domain::ports::Randomness as _;
use regrant_domain::secret::Secret;

use crate::failure::{Failure, Kind};

/// A client of this name, and its secret, which is kept nowhere.
///
/// # Errors
/// [`Failure`]: the name cannot be one, or there is no randomness to be had.
pub fn new(name: &str) -> Result<(Client, ClientSecret), Failure> {
    let random = OsRandomness.secret(Secret::LEN).map_err(|error| Failure::of(&error))?;
    let secret = ClientSecret::of(&random);
    let client = Client::new(name, &secret);
    let client = client.map_err(|why| Failure { kind: Kind::Configuration, ..Failure::of(&why) })?;
    Ok((client, secret))
}
