//! A person's story for each configuration file that is a token system of its own, and the edges of every lifetime.
//!
//! `tests/http/every_store.rs` runs them on every store.

mod default;
mod edges;
mod jwt;
mod opaque;
mod policies;
mod statik;

use serde_json::json;

use crate::support::actors::{Device, Person};
use crate::support::transport::{Answer, Call};
use crate::support::world::World;

/// What happens in every story: lives that differ only in their tokens.
struct Life {
    world: World,
    ada: Person,
    phone: Device,
    laptop: Device,
}

impl Life {
    /// Ada signs up, and signs in on two devices.
    async fn begins(config: &str) -> Self {
        let world = World::of_config(config);
        let ada = world.signs_up("ada@example.org").await;
        let (phone, laptop) = (ada.signs_in().await, ada.signs_in().await);
        assert_ne!(phone.session, laptop.session);
        assert!(phone.access != laptop.access && phone.refresh != laptop.refresh);
        let life = Self { world, ada, phone, laptop };
        for device in [&life.phone, &life.laptop] {
            let me = device.asks(Call::get("/api/me")).await;
            assert_eq!(me.is(200).json()["email"], "ada@example.org");
            assert_eq!(device.lists_sessions().await.len(), 2);
        }
        life
    }

    /// She signs out on the phone; the laptop does not mind.
    async fn signs_out_on_the_phone(&self) {
        self.phone.revokes().await.is(204);
        self.phone.is_signed_out("signed_out").await;
        self.phone.presents(&self.phone.refresh).await.is_refused("signed_out");
        self.phone.revokes().await.is(204);
        self.laptop.is_signed_in().await;
    }

    /// She signs in on a tablet and changes the password there; the laptop is signed out, and told why.
    async fn changes_the_password_on_a_tablet(&mut self) -> Device {
        let tablet = self.ada.signs_in().await;
        let new = "another pass phrase".to_owned();
        let body = json!({ "current_password": self.ada.password, "new_password": new });
        tablet.asks(Call::put("/api/me/password").json(body)).await.is(204);
        self.laptop.is_signed_out("password_changed").await;
        self.laptop.presents(&self.laptop.refresh).await.is_refused("password_changed");
        tablet.is_signed_in().await;
        self.ada.tries(&self.ada.password).await.is_problem(401, "invalid_credentials");
        self.ada.password = new;
        tablet
    }

    /// She deletes the account; no device is signed in any more, and nobody can sign in.
    async fn deletes_the_account(&self, tablet: &Device) {
        let body = json!({ "password": self.ada.password });
        tablet.asks(Call::delete("/api/me").json(body)).await.is(204);
        tablet.asks(Call::get("/api/me")).await.is(401);
        assert_eq!(tablet.presents(&tablet.refresh).await.0.status, 401);
        self.ada.tries(&self.ada.password).await.is_problem(401, "invalid_credentials");
    }

    /// So many tabs refresh with one token at the same time.
    async fn tabs_race(&self, device: &Device, tabs: usize) -> Vec<Answer> {
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..tabs {
            let device = device.clone();
            racing.spawn(async move { device.presents(&device.refresh).await.0 });
        }
        racing.join_all().await
    }
}

/// A field of an answer that granted something.
fn text(answer: &Answer, field: &str) -> String {
    answer.is(200).json()[field].as_str().unwrap_or_else(|| panic!("no {field}")).to_owned()
}

/// The claims or the header of a JWT.
pub(super) fn part(token: &str, index: usize) -> serde_json::Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = token.split('.').nth(index).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}
