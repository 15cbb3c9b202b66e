//! Clients that hang up: one request in five is given up at some moment of the time that one like it took before, and its
//! connection closed, while few connections to the store serve everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::{Fleet, Store, below, crowd, scaled, tell};
use crate::contract::bench::a_user_id;
use crate::support::actors::{Device, Person};
use crate::support::transport::{Answer, Call};

const POOL: u32 = 4;
/// How many requests each client sends.
const REQUESTS: usize = 40;
/// What a client does, each as often as the others.
const THINGS: usize = 4;
/// Clients at once.
const AT_ONCE: usize = 16;

/// A client that keeps the contract: what it asked for and did not hear of, it asks for again, with the same key.
struct Client {
    fleet: Fleet,
    person: Person,
    device: Device,
    key: String,
    /// How long the last answer took, for each thing that a client does: on a fast machine it hangs up the sooner.
    took: [Duration; THINGS],
    hung_up: Arc<AtomicUsize>,
}

pub(super) async fn clients_that_hang_up_disturb_nobody(store: Store) {
    let users = scaled(200).max(AT_ONCE);
    let deployment = store.deploy_with(POOL).await;
    let database = deployment.database.clone();
    let fleet = Fleet::of(deployment).await;
    let (begun, hung_up) = (Instant::now(), Arc::<AtomicUsize>::default());
    let watched = database.clone().map(|database| tokio::spawn(async move { watch(&database).await }));
    let clients = crowd(users, AT_ONCE, |_| {
        let (fleet, hung_up) = (fleet.clone(), hung_up.clone());
        async move {
            let person = fleet.somebody().await;
            let device = person.signs_in().await;
            let took = [Duration::from_millis(20); THINGS];
            let mut client = Client { fleet, person, device, key: a_user_id().to_string(), took, hung_up };
            for _ in 0..REQUESTS {
                client.acts().await;
            }
            client
        }
    })
    .await;
    if let Some(watched) = watched {
        watched.abort();
        assert!(watched.await.is_err_and(|ended| ended.is_cancelled()), "the watch saw something");
    }
    let hung_up = hung_up.load(Ordering::Relaxed);
    assert!(hung_up > users, "{hung_up} hung up");
    for client in clients {
        client.can_do_everything().await;
    }
    if let Some(database) = database {
        is_quiet(&database).await;
    }
    tell(store, begun, &format!("{users} clients, {} requests, {hung_up} given up", users * REQUESTS));
}

impl Client {
    async fn acts(&mut self) {
        let what = usize::try_from(below(THINGS as u64)).unwrap();
        match what {
            0 => {
                let call = Call::get("/api/me").bearer(&self.device.access);
                if let Some(answer) = self.sends(what, call).await {
                    self.is_mine(&answer.is(200).json());
                }
            }
            1 => {
                let call = Call::get("/api/sessions").bearer(&self.device.access);
                if let Some(answer) = self.sends(what, call).await {
                    let all = answer.is(200).json();
                    let current = all.as_array().unwrap().iter().find(|session| session["current"] == true);
                    assert_eq!(current.expect("the current session")["id"], self.device.session);
                }
            }
            2 => {
                let body = serde_json::json!({ "email": self.person.email, "password": self.person.password });
                if let Some(answer) = self.sends(what, Call::post("/api/login").json(body)).await {
                    self.is_mine(&answer.is(200).json());
                    let other = self.person.device(&answer);
                    assert_ne!(other.session, self.device.session);
                    self.tokens_are_of(&other);
                }
            }
            _ => {
                let call = Call::post("/api/refresh").bearer(&self.device.refresh).header("idempotency-key", &self.key);
                if let Some(answer) = self.sends(what, call).await {
                    let before = self.device.refresh.clone();
                    self.device.takes(&answer);
                    assert_ne!(self.device.refresh, before);
                    self.tokens_are_of(&self.device);
                    self.key = a_user_id().to_string();
                }
            }
        }
    }

    /// Sends a request to some instance; `None`: hung up before the answer was there.
    async fn sends(&mut self, what: usize, call: Call) -> Option<Answer> {
        let transport = self.fleet.turn(usize::from(below(2) == 1));
        let begun = Instant::now();
        if below(5) > 0 {
            let answer = transport.send(call).await;
            self.took[what] = begun.elapsed();
            return Some(answer);
        }
        let patience = Duration::from_nanos(below(u64::try_from(self.took[what].as_nanos()).unwrap()));
        let answer = tokio::time::timeout(patience, transport.send(call)).await.ok();
        self.hung_up.fetch_add(usize::from(answer.is_none()), Ordering::Relaxed);
        answer
    }

    #[track_caller]
    fn is_mine(&self, user: &Value) {
        assert_eq!(
            (&user["id"], &user["email"]),
            (&self.person.id.as_str().into(), &self.person.email.as_str().into())
        );
    }

    #[track_caller]
    fn tokens_are_of(&self, device: &Device) {
        let claims = URL_SAFE_NO_PAD.decode(device.access.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((claims["sub"].as_str(), claims["sid"].as_str()), (Some(&*self.person.id), Some(&*device.session)));
        assert_eq!(self.fleet.session_of(&device.refresh), device.session);
    }

    /// Can do everything, and is still who it was.
    async fn can_do_everything(mut self) {
        for instance in self.fleet.clone().instances() {
            let answer = self.device.at(&instance.transport).presents_with_key(&self.device.refresh, &self.key).await.0;
            self.device.takes(&answer);
            self.tokens_are_of(&self.device);
            self.key = a_user_id().to_string();
            let device = self.person.at(&instance.transport).signs_in().await;
            self.is_mine(&device.asks(Call::get("/api/me")).await.is(200).json());
        }
    }
}

/// How many connections there are, and how many of them are in the middle of something.
const CONNECTIONS: &str = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%'), \
                           count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity \
                           WHERE datname = current_database() AND pid <> pg_backend_pid() \
                           AND backend_type = 'client backend'";

/// Looks all the time: no connection is idle in a transaction, and there are no more than the pools may have.
async fn watch(database: &str) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    loop {
        let (all, idle, _): (i64, i64, i64) = sqlx::query_as(CONNECTIONS).fetch_one(&mut connection).await.unwrap();
        assert_eq!(idle, 0, "a connection is idle in a transaction");
        assert!(all <= i64::from(2 * POOL), "{all} connections");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_quiet(database: &str) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    // What was begun for a client that is gone is done meanwhile.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (all, idle, busy): (i64, i64, i64) = sqlx::query_as(CONNECTIONS).fetch_one(&mut connection).await.unwrap();
    assert_eq!((idle, busy), (0, 0), "of {all}");
    assert!(all <= i64::from(2 * POOL), "{all} connections");
}
