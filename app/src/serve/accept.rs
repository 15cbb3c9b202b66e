//! The accept loop: at most so many connections, each with a time limit for its request heads.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::listen::{Listener, Stream};
use super::{Drained, PAUSE, stop_asked};
use crate::compose::came_from;
use crate::settings::Server;

/// Longest request head in bytes; a longer one is answered 431 (RFC 6585 §5).
const MAX_HEAD: usize = 32 * 1024;
/// How long cut-off connections have to end.
const CUT_OFF: Duration = Duration::from_secs(1);

/// What is listened on, and whether TLS is spoken there.
pub(super) struct Door {
    pub(super) listener: Listener,
    pub(super) tls: Option<TlsAcceptor>,
}

/// Whose connections they are: for each one that is opened, what is to be kept as long as it is open.
pub(super) type Counted<C> = Arc<dyn Fn() -> C + Send + Sync>;

/// Accepts and serves until it is told to stop; then waits for the requests under way.
pub(super) async fn run<C: Send + 'static>(
    Door { listener, tls }: Door,
    router: Router,
    server: Server,
    counted: Counted<C>,
    mut stopped: watch::Receiver<bool>,
) -> Drained {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(server.max_connections));
    let mut connections = JoinSet::new();
    loop {
        // The slot first: whoever finds none waits in the system's queue, and costs nothing.
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = stop_asked(&mut stopped) => break,
            next = next => next,
        };
        // What has ended is forgotten.
        while connections.try_join_next().is_some() {}
        match (slot, accepted) {
            (Ok(slot), Ok(stream)) => {
                let talk =
                    Talk { router: router.clone(), header_timeout: server.header_timeout, until: graceful.watcher() };
                connections.spawn(hold(talk.with(stream, tls.clone(), stopped.clone()), (slot, counted())));
            }
            (Ok(_), Err(error)) => refused(&error).await,
            // Nobody closes the semaphore.
            (Err(_), _) => break,
        }
    }
    // From here on, whoever tries to connect is told at once that nobody listens.
    drop(listener);
    drain(graceful, connections, server.shutdown_grace).await
}

/// One connection, with HTTP/1.1 and keep-alive.
struct Talk {
    router: Router,
    header_timeout: Duration,
    until: Watcher,
}

impl Talk {
    async fn with(self, stream: Stream, tls: Option<TlsAcceptor>, stopped: watch::Receiver<bool>) -> io::Result<()> {
        let (stream, ip) = match stream {
            Stream::Unix(stream) => return self.http(stream, None).await,
            Stream::Tcp(stream, ip) => (stream, ip),
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set; answers may be late");
        }
        match tls {
            None => self.http(stream, Some(ip)).await,
            Some(tls) => match self.handshake(tls.accept(stream), stopped).await? {
                Some(stream) => self.http(stream, Some(ip)).await,
                None => Ok(()),
            },
        }
    }

    /// `None`: the service stops, and nobody has asked anything yet.
    async fn handshake<S>(
        &self,
        accepted: impl Future<Output = io::Result<S>>,
        mut stopped: watch::Receiver<bool>,
    ) -> io::Result<Option<S>> {
        tokio::select! {
            () = stop_asked(&mut stopped) => Ok(None),
            stream = tokio::time::timeout(self.header_timeout, accepted) => stream?.map(Some),
        }
    }

    async fn http(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, ip: Option<IpAddr>) -> io::Result<()> {
        let Self { router, header_timeout, until } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(Body::new);
            if let Some(ip) = ip {
                came_from(&mut request, ip);
            }
            router.clone().oneshot(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEAD);
        until.watch(http.serve_connection(TokioIo::new(stream), service)).await.map_err(io::Error::other)
    }
}

async fn hold<C>(connection: impl Future<Output = io::Result<()>>, held: (OwnedSemaphorePermit, C)) {
    if let Err(error) = connection.await {
        // Clients hang up, send nonsense, or wait too long: nothing that an operator could do something about.
        tracing::debug!(%error, "a connection ended");
    }
    drop(held);
}

/// A connection was not accepted: the client was gone already, or the process has no file descriptor left.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "connections cannot be accepted; is the limit of open files too low?");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn drain(graceful: GracefulShutdown, mut connections: JoinSet<()>, grace: Duration) -> Drained {
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_ok() {
        return Drained::Completely;
    }
    tracing::warn!(connections = connections.len(), "cut off: they took longer than server.shutdown_grace");
    connections.abort_all();
    let _ = tokio::time::timeout(CUT_OFF, async { while connections.join_next().await.is_some() {} }).await;
    Drained::CutOff
}
