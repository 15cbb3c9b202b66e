//! Instances of the service that share a store.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use regrant_adapters::inbound::http::router;
use regrant_adapters::outbound::system::{OsIds, OsRandomness, SystemClock};
use regrant_adapters::outbound::tasks::Tasks;
use regrant_adapters::outbound::token_codec::LabelledCodec;
use regrant_domain::ports::{Event, SessionKey};
use regrant_domain::refresh_token::Presented;
use regrant_domain::session::Snapshot;
use regrant_domain::testing::RecordedEvents;
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::{Ports, UseCases};
use tokio::net::TcpListener;

use super::setups::{Deployment, StoreTime};
use crate::contract::bench::a_user_id;
use crate::support::actors::Person;
use crate::support::fakes::QuickPasswords;
use crate::support::transport::Transport;
use crate::support::world::{Plan, access_tokens, options, policies, ring};

/// Instances of the service over one store. Clones are the same fleet.
#[derive(Clone)]
pub(super) struct Fleet {
    instances: Arc<[Instance]>,
    _keep: Arc<dyn Any + Send + Sync>,
}

/// One of them.
pub(super) struct Instance {
    pub(super) transport: Transport,
    pub(super) ports: Ports,
    pub(super) time: Arc<dyn StoreTime>,
    events: Arc<RecordedEvents>,
}

impl Fleet {
    /// As it comes.
    pub(super) async fn of(deployment: Deployment) -> Self {
        Self::with(deployment, |_, _| ()).await
    }

    /// With changes to each instance, which is told by its number.
    pub(super) async fn with(deployment: Deployment, change: impl Fn(usize, &mut Plan)) -> Self {
        let mut instances = Vec::new();
        for (at, handle) in deployment.handles.into_iter().enumerate() {
            let events = Arc::new(RecordedEvents::default());
            let ports = Ports {
                users: handle.users,
                sessions: handle.sessions,
                access_tokens: Arc::new(access_tokens()),
                codec: Arc::new(LabelledCodec::new(ring())),
                passwords: Arc::new(QuickPasswords),
                clock: Arc::new(SystemClock::new()),
                ids: Arc::new(OsIds::new()),
                randomness: Arc::new(OsRandomness),
                events: events.clone(),
                history: handle.history,
                background: Arc::new(Tasks::default()),
                limits: Limits::none(),
            };
            let mut plan = Plan { policies: policies(), ports, options: options() };
            change(at, &mut plan);
            let router = router(UseCases::new(&plan.ports, &plan.policies), plan.options);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, router).await });
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
            let transport = Transport::Network { base, client };
            instances.push(Instance { transport, ports: plan.ports, time: handle.time, events });
        }
        Self { instances: instances.into(), _keep: deployment.keep.into() }
    }

    /// All of them.
    pub(super) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The way to one of them: they take turns.
    pub(super) fn turn(&self, at: usize) -> &Transport {
        &self.instances[at % self.instances.len()].transport
    }

    /// Somebody new.
    pub(super) async fn somebody(&self) -> Person {
        self.turn(0).signs_up(&format!("{}@example.org", a_user_id())).await
    }

    /// What each instance finds in the store of the session of this refresh token.
    pub(super) async fn found(&self, token: &str) -> Vec<Option<Snapshot>> {
        let mut found = Vec::new();
        for instance in &*self.instances {
            let lookup = instance.ports.codec.decode(token).unwrap().lookup();
            found.push(instance.ports.sessions.find(&SessionKey::Lookup(lookup)).await.unwrap());
        }
        found
    }

    /// The session that this refresh token names.
    pub(super) fn session_of(&self, token: &str) -> String {
        match self.instances[0].ports.codec.decode(token).unwrap() {
            Presented::Chained(token) => token.session.to_string(),
            Presented::Bare(_) => unreachable!("labelled tokens name their session"),
        }
    }

    /// What the instances told since they were last asked.
    pub(super) fn events(&self) -> Vec<Event> {
        self.instances.iter().flat_map(|instance| instance.events.take()).collect()
    }
}
