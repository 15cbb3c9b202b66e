//! Serving: listen, answer, sweep, stop in good order.
//!
//! Deliberately absent: routes, and adapters. What a request does is the router's affair; this is about sockets, signals
//! and time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::compose::{self, App, Purpose};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

mod accept;
mod clock;
mod greeting;
mod sweeper;

pub use greeting::curl_lines;

/// A service that runs until it is stopped; dropping it stops it too, without waiting.
pub struct Running {
    addr: SocketAddr,
    made: Vec<String>,
    stop: watch::Sender<bool>,
    server: JoinHandle<Drained>,
    admin: Option<SocketAddr>,
    /// What runs beside the requests: the sweeper, and what follows the store's clock.
    beside: Vec<JoinHandle<()>>,
    app: App,
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
    // Before anything is made: a second start by mistake leaves no trace.
    let (listener, addr) = listen(settings.server.listen, "server.listen or --listen").await?;
    let admin = match settings.server.admin_listen {
        Some(addr) => Some(listen(addr, "server.admin_listen").await?),
        None => None,
    };
    let mut app = compose::open(settings, Purpose::Serve).await?;
    let (stop, stopped) = watch::channel(false);
    let router = app.router(settings);
    let server = tokio::spawn(accept::run(listener, router, settings.server.clone(), stopped.clone()));
    let sweeping =
        settings.sweep.every.map(|every| tokio::spawn(sweeper::run(app.sweep.clone(), every, stopped.clone())));
    let admin_addr = admin.as_ref().map(|(_, addr)| *addr);
    let administering = admin.map(|(listener, _)| {
        let (router, server, stopped) = (app.admin_router(), settings.server.clone(), stopped.clone());
        tokio::spawn(async move {
            let _ = accept::run(listener, router, server, stopped).await;
        })
    });
    let following = app.take_clock_follower().map(|follower| tokio::spawn(clock::run(follower, stopped)));
    let beside = [sweeping, administering, following].into_iter().flatten().collect();
    Ok(Running { addr, admin: admin_addr, made: std::mem::take(&mut app.made), stop, server, beside, app })
}

impl Running {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens for those who run the service, if anywhere.
    pub const fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
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
pub async fn run(settings: &Settings, quiet: bool) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let running = start(settings).await?;
    for made in running.made() {
        output::line(format_args!("Made {made}."));
    }
    if !quiet {
        output::line(curl_lines(running.addr(), settings));
    }
    output::line(format_args!("Regrant is ready on {}", greeting::url(running.addr())));
    if let Some(admin) = running.admin_addr() {
        tracing::info!(addr = %admin, "serving metrics");
    }
    tracing::info!(addr = %running.addr(), "serving");
    let name = signals.next().await;
    tracing::info!(signal = name, "stopping: requests under way are answered, at most for server.shutdown_grace");
    tokio::select! {
        drained = running.stop() => match drained {
            Drained::Completely => Ok(()),
            Drained::CutOff => Err(Failure::new("requests were cut off: they took longer than server.shutdown_grace")),
        },
        name = signals.next() => Err(Failure::new(format!("stopped at once: {name} came a second time"))),
    }
}

async fn listen(addr: SocketAddr, setting: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program (or another Regrant) listens there: stop it, or choose another port with"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose another one with",
            _ => "choose an address of this machine with",
        };
        let failure = Failure::new(format!("{addr} cannot be listened on")).because(&error);
        failure.advise(format!("{advice} {setting}"))
    })?;
    let addr = listener
        .local_addr()
        .map_err(|error| Failure::new("the address that is listened on cannot be found out").because(&error))?;
    Ok((listener, addr))
}

/// What tells the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new("signals cannot be listened for").because(&error));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Waits until `stopped` says so, or until whoever could say so is gone.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Between two attempts at something that failed for want of resources.
const PAUSE: Duration = Duration::from_millis(100);
