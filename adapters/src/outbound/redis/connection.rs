//! Connections that come back by themselves, to whoever is master.
//!
//! Deliberately absent: the ready-made connection manager, which keeps a connection after a time-out (a server behind a
//! cut cable would never be left) and knows nothing of Sentinels; reads from replicas, which may lag behind an end that
//! was acknowledged; WATCH and MULTI, which are not safe on a shared connection.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;

use super::address::Address;
use super::options::RedisOptions;
use super::renewed::Renewed;

/// Which server a command is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum To<'a> {
    /// The master that has this key.
    Key(&'a str),
    /// This one of [`Link::masters`].
    Master(&'a Master),
}

/// A master of a Cluster; outside of one, there is only one, without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master(Option<(String, u16)>);

impl std::fmt::Display for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some((host, port)) => write!(f, "{host}:{port}"),
            None => f.write_str("the server"),
        }
    }
}

/// One way to the store. Shared by any number of requests.
pub(super) enum Link {
    /// To one master.
    Direct(Box<Direct>),
    /// To all masters of a Cluster.
    Cluster(Box<Cluster>),
}

/// The connections to a Cluster.
pub(super) struct Cluster {
    client: ClusterClient,
    connections: Renewed<ClusterConnection>,
    /// For connecting anew.
    timeout: Duration,
}

impl Cluster {
    async fn open(client: ClusterClient, options: &RedisOptions) -> RedisResult<Self> {
        let connections = Renewed::new(client.get_async_connection().await?);
        Ok(Self { client, connections, timeout: options.connect_timeout.max(options.response_timeout) })
    }

    async fn ask<T, F>(&self, ask: impl FnOnce(ClusterConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.connections.ask(ask, self.connect()).await
    }

    async fn connect(&self) -> RedisResult<ClusterConnection> {
        let connecting = tokio::time::timeout(self.timeout, self.client.get_async_connection());
        connecting.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    async fn command(&self, command: Cmd, routing: RoutingInfo) -> RedisResult<Value> {
        self.ask(|mut connection| async move { connection.route_command(command, routing).await }).await
    }
}

impl Link {
    pub(super) async fn open(address: Address, options: &RedisOptions) -> RedisResult<Self> {
        let source = match address {
            Address::Server(client) => Source::Server(client),
            Address::Sentinel(client) => Source::Sentinel(client),
            Address::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes)
                    .connection_timeout(options.connect_timeout)
                    .response_timeout(options.response_timeout)
                    .overall_response_timeout(Some(options.response_timeout * 2))
                    .retries(8)
                    .min_retry_wait(20)
                    .max_retry_wait(400)
                    .retry_wait_formula(10, 2)
                    .build()?;
                return Ok(Self::Cluster(Box::new(Cluster::open(client, options).await?)));
            }
        };
        let direct = Direct::new(source, options);
        direct.connection().await?;
        Ok(Self::Direct(Box::new(direct)))
    }

    /// Sends one command.
    pub(super) async fn send(&self, command: &Cmd, to: To<'_>) -> RedisResult<Value> {
        let answer = match self {
            Self::Direct(direct) => direct.ask(Request::One(command)).await?.pop().unwrap_or_default(),
            Self::Cluster(cluster) => {
                let routing = RoutingInfo::SingleNode(route(to));
                cluster.command(command.clone(), routing).await?
            }
        };
        answer.extract_error()
    }

    /// Sends a command and, on the same connection right behind it, one that waits for what it wrote.
    pub(super) async fn send_and_wait(&self, command: &Cmd, wait: &Cmd, key: &str) -> RedisResult<(Value, Value)> {
        let mut both = Pipeline::with_capacity(2);
        both.add_command(command.clone()).add_command(wait.clone());
        let mut answers = match self {
            Self::Direct(direct) => direct.ask(Request::Several(&both, 2)).await?,
            Self::Cluster(cluster) => {
                let routing = route(To::Key(key));
                let ask = |mut link: ClusterConnection| async move { link.route_pipeline(both, 0, 2, routing).await };
                cluster.ask(ask).await?
            }
        };
        let (Some(waited), Some(answer), None) = (answers.pop(), answers.pop(), answers.pop()) else {
            return Err((ErrorKind::UnexpectedReturnType, "two commands had not two answers").into());
        };
        Ok((answer.extract_error()?, waited.extract_error()?))
    }

    /// Every master, each with a share of the keys.
    pub(super) async fn masters(&self) -> RedisResult<Vec<Master>> {
        let Self::Cluster(cluster) = self else { return Ok(vec![Master(None)]) };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let answers = cluster.command(redis::cmd("PING"), all).await?;
        let masters: Vec<(String, Value)> = redis::from_redis_value(answers)?;
        masters
            .into_iter()
            .map(|(address, _)| {
                let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
                match port.parse() {
                    Ok(port) => Ok(Master(Some((host.to_owned(), port)))),
                    Err(_) => Err((ErrorKind::UnexpectedReturnType, "a master without a port").into()),
                }
            })
            .collect()
    }
}

fn route(to: To<'_>) -> SingleNodeRoutingInfo {
    match to {
        To::Key(key) => SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master)),
        To::Master(Master(Some((host, port)))) => SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port },
        To::Master(Master(None)) => SingleNodeRoutingInfo::RandomPrimary,
    }
}

/// How a master is found.
enum Source {
    Server(Box<Client>),
    Sentinel(Box<SentinelClient>),
}

/// A connection to one master, made anew whenever it was lost.
pub(super) struct Direct {
    current: RwLock<Current>,
    /// Held by whoever connects; the others wait for the result instead of connecting too.
    connecting: Mutex<Connecting>,
    config: AsyncConnectionConfig,
    /// For everything together: asking the Sentinels, connecting, signing in.
    timeout: Duration,
}

#[derive(Default)]
struct Current {
    /// Goes up whenever somebody has tried to connect.
    tried: u64,
    connection: Option<MultiplexedConnection>,
}

struct Connecting {
    source: Source,
    failure: Option<RedisError>,
}

impl Direct {
    fn new(source: Source, options: &RedisOptions) -> Self {
        Self {
            current: RwLock::default(),
            connecting: Mutex::new(Connecting { source, failure: None }),
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(options.connect_timeout))
                .set_response_timeout(Some(options.response_timeout)),
            timeout: options.connect_timeout.max(options.response_timeout),
        }
    }

    /// Asks; a second time, on a new connection, where the first one had been lost or led to a server that is no
    /// longer the master. (What is sent may run twice; every script is made for that.) A time-out is not repeated.
    async fn ask(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        let mut again = true;
        loop {
            let (serial, connection) = self.connection().await?;
            let answers = request.send(connection).await;
            let Some(error) = trouble(&answers).filter(spoils_connection) else { return answers };
            self.leave(serial);
            if !again || error.is_timeout() {
                return answers;
            }
            again = false;
        }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let seen = match self.current() {
            (serial, Some(connection)) => return Ok((serial, connection)),
            (seen, None) => seen,
        };
        let mut connecting = self.connecting.lock().await;
        match (self.current(), &connecting.failure) {
            ((serial, Some(connection)), _) => return Ok((serial, connection)),
            ((tried, None), Some(failure)) if tried != seen => return Err(failure.clone()),
            _ => {}
        }
        let connected = tokio::time::timeout(self.timeout, connecting.source.connect(&self.config))
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.tried += 1;
        match connected {
            Ok(connection) => {
                current.connection = Some(connection.clone());
                connecting.failure = None;
                Ok((current.tried, connection))
            }
            Err(error) => {
                connecting.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    fn current(&self) -> (u64, Option<MultiplexedConnection>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.tried, current.connection.clone())
    }

    /// The next request connects anew, unless that was done already.
    fn leave(&self, serial: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.tried == serial {
            current.connection = None;
        }
    }
}

impl Source {
    async fn connect(&mut self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Server(client) => client.get_multiplexed_async_connection_with_config(config).await,
            Self::Sentinel(client) => client.get_async_connection_with_config(config).await,
        }
    }
}

#[derive(Clone, Copy)]
enum Request<'a> {
    One(&'a Cmd),
    Several(&'a Pipeline, usize),
}

impl Request<'_> {
    async fn send(self, mut connection: MultiplexedConnection) -> RedisResult<Vec<Value>> {
        match self {
            Self::One(command) => connection.send_packed_command(command).await.map(|answer| vec![answer]),
            Self::Several(commands, count) => connection.send_packed_commands(commands, 0, count).await,
        }
    }
}

/// The first error among the answers.
fn trouble(answers: &RedisResult<Vec<Value>>) -> Option<RedisError> {
    match answers {
        Ok(answers) => answers.iter().find_map(|answer| match answer {
            Value::ServerError(error) => Some(error.clone().into()),
            _ => None,
        }),
        Err(error) => Some(error.clone()),
    }
}

/// Whether another connection may do better: this one is broken, stuck, or leads to a server that is no master.
fn spoils_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::AuthenticationFailed => true,
        ErrorKind::Server(kind) => {
            matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown)
                || mentions(error, "READONLY")
        }
        // A master that becomes a replica sends away who waits.
        ErrorKind::Extension => mentions(error, "UNBLOCKED"),
        _ => false,
    }
}

/// Whether a server error is this one, or a script's that was caused by it.
pub(super) fn mentions(error: &RedisError, code: &str) -> bool {
    error.code() == Some(code) || error.detail().is_some_and(|detail| detail.contains(code))
}
