//! Serving: listen, answer, sweep, stop in good order.
//!
//! Deliberately absent: routes, and adapters. What a request does is the router's affair; this is about sockets, signals
//! and time.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::compose::{self, App, Purpose, Traces, Watch};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

use accept::Door;
use listen::Inherited;

mod accept;
mod clock;
mod greeting;
mod keys;
mod listen;
mod notify;
mod sweeper;
mod tls;

pub use greeting::curl_lines;
pub use listen::Endpoint;

/// A service that runs until it is stopped; dropping it stops it too, without waiting.
pub struct Running {
    endpoint: Endpoint,
    made: Vec<String>,
    stop: watch::Sender<bool>,
    server: JoinHandle<Drained>,
    admin: Option<Endpoint>,
    /// What runs beside the requests: the sweeper, the admin listener, what follows the store's clock, the key folder and
    /// the certificate.
    beside: Vec<JoinHandle<()>>,
    app: Box<App>,
}

/// How the last requests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All were answered.
    Completely,
    /// Some took longer than the grace period and were cut off.
    CutOff,
}

/// Opens everything that `settings` name, and serves.
///
/// # Errors
/// [`Failure`]: the address is taken, or the store or a key cannot be used. Nothing is left running.
pub async fn start(settings: &Settings) -> Result<Running, Failure> {
    start_traced(settings, None).await
}

/// The same, with requests as parts of traces (see [`telemetry`](crate::telemetry)).
///
/// # Errors
/// As [`start`].
pub async fn start_traced(settings: &Settings, traces: Option<Traces>) -> Result<Running, Failure> {
    let server = &settings.server;
    // Before anything is made: a second start by mistake leaves no trace.
    let certificate = server.tls.as_ref().map(tls::Certificate::open).transpose()?;
    let tls = certificate.as_ref().map(tls::Certificate::acceptor).transpose()?;
    let inherited = &mut Inherited::from_env();
    let (listener, endpoint) =
        listen::open(&server.listen, server, "server.listen or --listen", tls.is_some(), inherited).await?;
    let admin = match &server.admin_listen {
        Some(at) => Some(listen::open(at, server, "server.admin_listen", false, inherited).await?),
        None => None,
    };
    // Before anything that takes time: until this is listened for, it ends the process.
    let hangup = listen_for(SignalKind::hangup())?;
    let mut app = compose::open(settings, Purpose::Serve).await?;
    let (stop, stopped) = watch::channel(false);
    let watch = app.watch();
    let mut beside = vec![tokio::spawn(notify::watchdog(stopped.clone()))];
    if let Some(every) = settings.sweep.every {
        beside.push(tokio::spawn(sweeper::run(app.sweep.clone(), every, watch.clone(), stopped.clone())));
    }
    if let Some(follower) = app.take_clock_follower() {
        beside.push(tokio::spawn(clock::run(follower, stopped.clone())));
    }
    if let Some(follower) = app.take_key_follower() {
        beside.push(tokio::spawn(keys::run(follower, hangup, stopped.clone())));
    }
    if let Some(certificate) = certificate {
        beside.push(tokio::spawn(certificate.follow(stopped.clone())));
    }
    let admin = admin.map(|(listener, endpoint)| {
        let (door, router) = (Door { listener, tls: None }, app.admin_router());
        let serving = accept::run(door, router, server.clone(), counted(&watch, "admin"), stopped.clone());
        beside.push(tokio::spawn(async {
            let _ = serving.await;
        }));
        endpoint
    });
    let here = endpoint.addr().filter(|addr| addr.ip().is_loopback()).map(|_| endpoint.url());
    let (door, router) = (Door { listener, tls }, app.router(settings, here, traces));
    let serving = accept::run(door, router, server.clone(), counted(&watch, "public"), stopped);
    let made = std::mem::take(&mut app.made);
    Ok(Running { endpoint, admin, made, stop, server: tokio::spawn(serving), beside, app: Box::new(app) })
}

impl Running {
    /// Where it listens.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where it listens for those who run the service, if anywhere.
    pub const fn admin_endpoint(&self) -> Option<&Endpoint> {
        self.admin.as_ref()
    }

    /// What was made because it was missing, in words.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// Stops: accepts nothing more, answers what is under way, and closes the store.
    pub async fn stop(self) -> Drained {
        self.stop.send_replace(true);
        // The tasks are ours and end by themselves; one that panicked has ended too.
        let drained = self.server.await.unwrap_or(Drained::CutOff);
        for task in self.beside {
            let _ = task.await;
        }
        self.app.close().await;
        drained
    }
}

/// Serves until the process is told to stop.
///
/// # Errors
/// As [`start`]; also when requests had to be cut off, or a second signal came.
pub async fn run(settings: &Settings, quiet: bool, traces: Option<Traces>) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let running = start_traced(settings, traces).await?;
    for made in running.made() {
        output::line(format_args!("Made {made}."));
    }
    if !quiet {
        output::line(curl_lines(running.endpoint(), settings));
    }
    output::line(format_args!("Regrant is ready on {}", running.endpoint()));
    if let Some(admin) = running.admin_endpoint() {
        tracing::info!(at = %admin, "serving metrics");
    }
    tracing::info!(at = %running.endpoint(), "serving");
    notify::ready();
    let name = signals.next().await;
    notify::stopping();
    tracing::info!(signal = name, "stopping: requests under way are answered, at most for server.shutdown_grace");
    tokio::select! {
        drained = running.stop() => match drained {
            Drained::Completely => Ok(()),
            Drained::CutOff => Err(Failure::new("requests were cut off: they took longer than server.shutdown_grace")),
        },
        name = signals.next() => Err(Failure::new(format!("stopped at once: {name} came a second time"))),
    }
}

fn counted(watch: &Watch, listener: &'static str) -> accept::Counted<impl Send + 'static> {
    let watch = watch.clone();
    Arc::new(move || watch.connection(listener))
}

/// What tells the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self { terminate: listen_for(SignalKind::terminate())?, interrupt: listen_for(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new("signals cannot be listened for").because(&error))
}

/// Waits until `stopped` says so, or until whoever could say so is gone.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Between two attempts at something that failed for want of resources.
const PAUSE: Duration = Duration::from_millis(100);
