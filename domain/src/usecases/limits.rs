//! Too many requests: who is refused, and who never is.
//!
//! A password that strangers try for an account is limited in two ways. Each network has a few tries of its own; and all
//! networks together have some, *except* those in which the account has signed in before, as its sessions tell. So strangers
//! can use up each other's tries, and never the owner's at home, however many they are. An address that nobody has is
//! treated in the same way: it just has no home.
//!
//! A try is taken before the password is looked at, so that a refusal costs nothing and simultaneous guesses all count; a
//! sign-in that succeeds gives it back.

use std::sync::Arc;

use super::Ports;
use crate::address::AddressRange;
use crate::history::Origin;
use crate::ids::UserId;
use crate::limit::{BucketKey, Limit, LimitPolicy, Limited, Take};
use crate::ports::{Event, PortError, RateLimiter, Taken};
use crate::refresh_token::Presented;
use crate::time::Timestamp;
use crate::user::Email;

/// What is limited, and where it is counted. Cheap to clone.
#[derive(Clone, Default)]
pub struct Limits(Option<Arc<Counted>>);

struct Counted {
    policy: LimitPolicy,
    shared: Arc<dyn RateLimiter>,
    own: Arc<dyn RateLimiter>,
}

impl Limits {
    /// With this policy. `shared`: the buckets of all processes; `own`: those of this one.
    pub fn new(policy: LimitPolicy, shared: Arc<dyn RateLimiter>, own: Arc<dyn RateLimiter>) -> Self {
        Self(Some(Arc::new(Counted { policy, shared, own })))
    }

    /// Nothing is limited.
    pub fn none() -> Self {
        Self::default()
    }

    /// What is taken from which bucket; `None` where this origin is not limited.
    fn of(&self, limit: Limit, subject: &[&str], from: &Origin, now: Timestamp) -> Option<Taking> {
        let Counted { policy, shared, own } = self.0.as_deref()?;
        let rate = policy.rate(limit)?;
        if from.ip.as_deref().is_some_and(|ip| policy.exempt.iter().any(|range| range.contains(ip))) {
            return None;
        }
        let limiter = if limit.is_counted_by_each_process() { own } else { shared };
        let take = Take { key: BucketKey::of(limit, subject), rate, cost: 1, now };
        Some(Taking { limiter: limiter.clone(), take })
    }
}

/// What is taken, and where.
pub(super) struct Taking {
    limiter: Arc<dyn RateLimiter>,
    take: Take,
}

/// What one bucket says.
enum Asked {
    /// Nothing is limited here.
    Nothing,
    /// Taken.
    Taken(Taking),
    /// Refused.
    Refused(Limited),
}

/// A try of a password.
pub(super) enum Try {
    /// It may be looked at; what was taken for it.
    Counted(Vec<Taking>),
    /// It may not.
    Limited(Limited),
}

/// The use case: may this request come in? Asked before its body is read.
#[derive(Clone)]
pub struct Admit {
    ports: Ports,
}

impl Admit {
    /// With these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Counts a request by the network that it comes from, and says so if there were too many. A request of which no
    /// address is known is not counted.
    ///
    /// # Errors
    /// [`PortError`]: could not find out. Whoever guesses must not gain by an outage, so the request is not admitted.
    pub async fn run(&self, limit: Limit, from: &Origin) -> Result<Option<Limited>, PortError> {
        match network(from) {
            Some(network) => self.ports.count(limit, &[&network.to_string()], from).await,
            None => Ok(None),
        }
    }
}

impl Ports {
    /// Counts a try of the password of an account, whether there is one or not.
    pub(super) async fn count_try(&self, email: &Email, from: &Origin) -> Result<Try, PortError> {
        let (account, network) = (email.as_str(), network(from));
        // Requests of unknown address are one network.
        let place = network.map(|network| network.to_string()).unwrap_or_default();
        let mut taken = Vec::with_capacity(2);
        match self.ask(Limit::PasswordByAccountAndAddress, &[account, &place], from).await? {
            Asked::Nothing => {}
            Asked::Taken(taking) => taken.push(taking),
            Asked::Refused(limited) => return Ok(Try::Limited(self.tell_limited(limited, from))),
        }
        match self.ask(Limit::PasswordByAccount, &[account], from).await? {
            Asked::Taken(taking) => taken.push(taking),
            Asked::Refused(limited) if !self.is_home(email, network).await? => {
                return Ok(Try::Limited(self.tell_limited(limited, from)));
            }
            Asked::Nothing | Asked::Refused(_) => {}
        }
        Ok(Try::Counted(taken))
    }

    /// The password was the right one: the try does not count. In the background: the answer need not wait for it.
    pub(super) fn give_back(&self, taken: Vec<Taking>) {
        let now = self.clock.now();
        for Taking { limiter, take } in taken {
            let back = async move { drop(limiter.give_back(Take { now, ..take }).await) };
            // Where that fails, or is left out, there is one try less for a while.
            self.background.begin(Box::pin(back));
        }
    }

    /// Counts a refresh of an authentic token.
    pub(super) async fn count_refresh(
        &self,
        presented: &Presented,
        from: &Origin,
    ) -> Result<Option<Limited>, PortError> {
        self.count(Limit::RefreshBySession, &[presented.lookup().as_str()], from).await
    }

    /// Whether the account has signed in from this network: one of its sessions that are still kept says so. An account
    /// that does not exist costs the same questions.
    async fn is_home(&self, email: &Email, network: Option<AddressRange>) -> Result<bool, PortError> {
        let user = self.users.find_by_email(email).await?;
        let user = user.map_or(UserId::from_bytes([0; 16]), |user| user.id);
        let sessions = self.sessions.list(user).await?;
        let is_there = |ip: &String| AddressRange::network_of(ip) == network;
        Ok(network.is_some() && sessions.iter().any(|one| one.session.device.ip.as_ref().is_some_and(is_there)))
    }

    async fn count(&self, limit: Limit, subject: &[&str], from: &Origin) -> Result<Option<Limited>, PortError> {
        match self.ask(limit, subject, from).await? {
            Asked::Nothing | Asked::Taken(_) => Ok(None),
            Asked::Refused(limited) => Ok(Some(self.tell_limited(limited, from))),
        }
    }

    async fn ask(&self, limit: Limit, subject: &[&str], from: &Origin) -> Result<Asked, PortError> {
        let Some(taking) = self.limits.of(limit, subject, from, self.clock.now()) else { return Ok(Asked::Nothing) };
        Ok(match taking.limiter.take(taking.take).await? {
            Taken::Allowed => Asked::Taken(taking),
            Taken::Refused { wait } => Asked::Refused(Limited { limit, wait }),
        })
    }

    fn tell_limited(&self, limited: Limited, from: &Origin) -> Limited {
        self.events.record(Event::Limited { limit: limited.limit }, from);
        limited
    }
}

/// The network of a request, where its address is known.
fn network(from: &Origin) -> Option<AddressRange> {
    from.ip.as_deref().and_then(AddressRange::network_of)
}
