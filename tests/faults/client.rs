//! A client that keeps the contract: it saves token and retry key before it sends them; where no answer came, or 503, it
//! sends the same pair again; of several answers, the newest generation wins. And what else users do to their sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::chance::Chance;
use super::history::{Heard, Moment, Op, Opened, Record, Why};
use super::leaks::Secrets;
use super::run::Run;
use super::wire::{Ask, Came, Reply, digest, key_text, named_by};

/// After so long, nothing that was sent is under way any more: longer than a process is ever stopped, and all time limits
/// of the service, one after another.
const LATE: Duration = Duration::from_secs(12);
/// No more rotations than this happen while an older request may still be under way: the limit of the contract.
const AHEAD: u32 = 4;

/// Somebody with an account.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) number: usize,
    pub(super) id: String,
    pub(super) email: String,
}

impl Person {
    pub(super) fn password(&self) -> String {
        format!("the pass phrase of {}", self.email)
    }
}

/// A signed-in device, with what it has saved.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) number: usize,
    session: [u8; 16],
    person: Person,
    access: String,
    token: String,
    generation: u32,
    /// The retry key of the token.
    key: u64,
    /// The token that it began with.
    first: String,
    /// Requests that may still be under way: their generation, and when they were given up.
    late: Vec<(u32, Instant)>,
}

/// What became of a device's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Goes,
    Over,
}

/// Who acts, and by whose choices.
pub(super) struct Actor {
    pub(super) run: Arc<Run>,
    pub(super) chance: Chance,
    /// Whether it waits for each answer before it sends anything else.
    pub(super) one_at_a_time: bool,
}

impl Actor {
    /// Somebody who acts beside this one.
    pub(super) fn twin(&mut self) -> Self {
        let own = Chance::new(self.chance.next());
        Self { run: self.run.clone(), chance: own, one_at_a_time: self.one_at_a_time }
    }

    fn somewhere(&mut self) -> usize {
        usize::try_from(self.chance.below(self.run.line.services())).unwrap()
    }

    /// Waits a moment, as clients do before they ask again.
    pub(super) async fn breathes(&mut self) {
        let millis = self.chance.between(40, 200);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Signs in, sooner or later.
    pub(super) async fn signs_in(&mut self, person: &Person) -> Device {
        let run = self.run.clone();
        loop {
            let turn = run.sign_ins.acquire().await.unwrap();
            let body = json!({ "email": person.email, "password": person.password() });
            let ask = Ask::new(Method::POST, "/api/login").json(body);
            let (asked, at) = (self.run.recorder.now(), self.somewhere());
            let reply = self.run.send(&ask, at).await;
            let answered = self.run.recorder.now();
            match reply {
                Reply::Came(came) if came.status == 200 => return self.device(person, &came, asked, answered),
                Reply::Came(came) if !came.is_unavailable() => self.run.is_odd("sign-in", &came),
                _ => {}
            }
            drop(turn);
            self.breathes().await;
        }
    }

    fn device(&mut self, person: &Person, came: &Came, asked: Moment, answered: Moment) -> Device {
        let token = came.text("refresh_token");
        let (session, generation) = named_by(&token).expect("a sign-in gives a token");
        assert_eq!((came.text("id"), generation), (person.id.clone(), 0), "a sign-in of somebody else");
        let opened = Opened { user: person.number, asked, answered };
        Device {
            number: self.run.recorder.opened(opened),
            session,
            person: person.clone(),
            access: came.text("token"),
            first: token.clone(),
            token,
            generation,
            key: self.chance.next(),
            late: Vec::new(),
        }
    }

    /// Sends one request about a session and takes down what was heard; `None`: it could not be sent.
    async fn asks(
        &self,
        device: &Device,
        op: Op,
        ask: &Ask,
        at: usize,
        hangs_up: Option<Duration>,
    ) -> Option<(Heard, Option<Came>)> {
        let asked = self.run.recorder.now();
        let sending = self.run.send(ask, at);
        let reply = match hangs_up {
            None => sending.await,
            Some(after) => tokio::time::timeout(after, sending).await.unwrap_or(Reply::Lost),
        };
        let answered = self.run.recorder.now();
        let (heard, came) = match reply {
            Reply::NotSent => return None,
            Reply::Lost => (Heard::Unknown, None),
            Reply::Came(came) => (device.heard(op, &came), Some(came)),
        };
        // An end of all that is refused has only looked at the caller's own session.
        let op = if op == Op::EndAll && matches!(heard, Heard::Refused(_)) { Op::Verify } else { op };
        let whose = if op == Op::EndAll { device.person.number } else { device.number };
        self.run.recorder.heard(Record { whose, op, asked, answered, heard: heard.clone() });
        Some((heard, came))
    }

    /// Presents what the device has saved, once, and takes what is newer.
    async fn presents(&mut self, device: &mut Device, at: usize, hangs_up: Option<Duration>) -> Heard {
        let (generation, key) = (device.generation, Some(device.key));
        let ask = Ask::refresh(&device.token, key);
        let heard = self.asks(device, Op::Refresh { generation, key }, &ask, at, hangs_up).await;
        let fresh = self.chance.next();
        device.takes(generation, heard, fresh)
    }

    /// Refreshes until it is served or refused.
    pub(super) async fn refreshes(&mut self, device: &mut Device) -> Life {
        let before = device.generation;
        loop {
            let at = self.somewhere();
            let heard = match self.chance.below(100) {
                _ if self.one_at_a_time => self.presents(device, at, None).await,
                0..12 => self.presents_twice(device).await,
                12..20 => {
                    let after = Duration::from_micros(self.chance.below(20_000));
                    self.presents(device, at, Some(after)).await
                }
                _ => self.presents(device, at, None).await,
            };
            match heard {
                Heard::Granted { .. } => return Life::Goes,
                // The storage may hold a newer token by now.
                Heard::Refused(Why::Superseded) if device.generation > before => return Life::Goes,
                Heard::Refused(_) | Heard::Odd(_) => return Life::Over,
                Heard::Unknown | Heard::Done | Heard::Good => self.breathes().await,
            }
        }
    }

    /// Two tabs that share the storage present the same pair at once, to whatever process each is led to.
    async fn presents_twice(&mut self, device: &mut Device) -> Heard {
        let (generation, key, places) = (device.generation, Some(device.key), [self.somewhere(), self.somewhere()]);
        let (op, ask) = (Op::Refresh { generation, key }, Ask::refresh(&device.token, key));
        let (one, other) =
            tokio::join!(self.asks(device, op, &ask, places[0], None), self.asks(device, op, &ask, places[1], None));
        let fresh = self.chance.next();
        let one = device.takes(generation, one, fresh);
        let other = device.takes(generation, other, fresh);
        if matches!(one, Heard::Granted { .. } | Heard::Refused(_)) { one } else { other }
    }

    /// Is its access token good?
    pub(super) async fn verifies(&mut self, device: &Device) -> Life {
        let at = self.somewhere();
        let ask = Ask::new(Method::GET, "/api/me").bearer(&device.access);
        match self.asks(device, Op::Verify, &ask, at, None).await {
            Some((Heard::Refused(_) | Heard::Odd(_), _)) => Life::Over,
            _ => Life::Goes,
        }
    }

    /// Ends the session, and asks again until that is acknowledged.
    pub(super) async fn revokes(&mut self, device: &Device) {
        let ask = Ask::new(Method::POST, "/api/revoke").bearer(&device.token);
        self.insists(device, Op::Revoke, &ask).await;
    }

    /// Ends all sessions of its user, and asks again until that is acknowledged, or it is refused since it has worked.
    pub(super) async fn ends_all(&mut self, device: &Device) {
        let ask = Ask::new(Method::DELETE, "/api/sessions?include_current=true").bearer(&device.access);
        self.insists(device, Op::EndAll, &ask).await;
    }

    async fn insists(&mut self, device: &Device, op: Op, ask: &Ask) {
        loop {
            let at = self.somewhere();
            if let Some((Heard::Done | Heard::Refused(_) | Heard::Odd(_), _)) =
                self.asks(device, op, ask, at, None).await
            {
                return;
            }
            self.breathes().await;
        }
    }

    /// A stranger presents the very first token, long spent, without its retry key.
    pub(super) async fn is_robbed(&mut self, device: &Device) {
        let op = Op::Refresh { generation: 0, key: None };
        self.insists(device, op, &Ask::refresh(&device.first, None)).await;
    }

    /// Presents a token that nobody has issued.
    pub(super) async fn forges(&mut self, device: &Device) {
        let mut forged = device.token.clone().into_bytes();
        let at = usize::try_from(self.chance.below(64)).unwrap();
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        let (ask, at) = (Ask::refresh(str::from_utf8(&forged).unwrap(), None), self.somewhere());
        match self.run.send(&ask, at).await {
            Reply::Came(came) if came.status != 401 || came.code() != "invalid_token" => {
                self.run.is_odd("a forgery", &came);
            }
            _ => {}
        }
    }

    /// What is about to be sent is sent once more, later.
    pub(super) async fn duplicates(&mut self, device: &mut Device) {
        let (at, later) = (self.somewhere(), Duration::from_millis(self.chance.below(400)));
        let (generation, key) = (device.generation, Some(device.key));
        let (op, ask) = (Op::Refresh { generation, key }, Ask::refresh(&device.token, key));
        device.late.push((generation, Instant::now()));
        let (twin, actor) = (device.clone(), self.twin());
        self.run.duplicates.lock().await.spawn(async move {
            tokio::time::sleep(later).await;
            actor.asks(&twin, op, &ask, at, None).await;
        });
    }
}

impl Device {
    /// Whether it may rotate: no more than four times while an older request may be under way.
    pub(super) fn may_rotate(&mut self) -> bool {
        self.late.retain(|(_, since)| since.elapsed() < LATE);
        self.late.iter().all(|(generation, _)| self.generation < generation + AHEAD)
    }

    /// When it may rotate again, whatever was sent.
    pub(super) fn rest(&self) -> Duration {
        let latest = self.late.iter().map(|(_, since)| LATE.saturating_sub(since.elapsed())).max();
        latest.unwrap_or_default()
    }

    /// How often it was refreshed.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// The id of its session.
    pub(super) fn session(&self) -> [u8; 16] {
        self.session
    }

    /// What nobody else may find anywhere.
    pub(super) fn tells_its_secrets(&self, secrets: &mut Secrets) {
        secrets.refresh_token(&self.token);
        secrets.text(&key_text(self.key));
        secrets.access_token(&self.access);
    }

    /// Takes what is newer than what it has, with a new retry key for it.
    fn takes(&mut self, presented: u32, heard: Option<(Heard, Option<Came>)>, key: u64) -> Heard {
        let Some((heard, came)) = heard else { return Heard::Unknown };
        match (&heard, came) {
            (Heard::Granted { generation, .. }, Some(came)) if *generation > self.generation => {
                (self.token, self.access) = (came.text("refresh_token"), came.text("token"));
                (self.generation, self.key) = (*generation, key);
            }
            (Heard::Unknown, _) => self.late.push((presented, Instant::now())),
            _ => {}
        }
        heard
    }

    /// What an answer says.
    fn heard(&self, op: Op, came: &Came) -> Heard {
        match (came.status, op) {
            (200, Op::Refresh { .. }) => {
                let token = came.text("refresh_token");
                match named_by(&token) {
                    Some((session, generation)) if session == self.session => {
                        Heard::Granted { generation, token: digest(&token) }
                    }
                    _ => Heard::Odd("a token of another session".into()),
                }
            }
            (200, Op::Verify) if came.text("id") == self.person.id => Heard::Good,
            (204, Op::Revoke | Op::EndAll) => Heard::Done,
            (401, _) => match Why::parse(came.code()) {
                Some(why) => Heard::Refused(why),
                None => Heard::Odd(came.told()),
            },
            _ if came.is_unavailable() => Heard::Unknown,
            _ => Heard::Odd(came.told()),
        }
    }
}
