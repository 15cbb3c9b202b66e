//! `regrant health`: for those who watch over the process, such as a container's health check.

use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::failure::Failure;
use crate::output;
use crate::serve::Endpoint;
use crate::settings::{Listen, Server, Settings};

/// Longer, and nobody would call it healthy.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the head of the answer takes.
const MOST: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Ask whether it can serve, its store included, instead of whether it is alive
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(settings: &Settings, what: &Health) -> Result<(), Failure> {
    let path = if what.ready { "/readyz" } else { "/healthz" };
    let endpoint = endpoint(&settings.server)?;
    let failed = |why: &dyn std::fmt::Display| Failure::new(format!("{endpoint}{path} is not answered: {why}"));
    let status = tokio::time::timeout(PATIENCE, status(&endpoint, path))
        .await
        .map_err(|_| failed(&format_args!("nothing came for {} s", PATIENCE.as_secs())))?
        .map_err(|error| failed(&error))?;
    match status.as_str() {
        "200" => {
            output::line(if what.ready { "ready" } else { "alive" });
            Ok(())
        }
        status => Err(failed(&format_args!("the status is {status}"))),
    }
}

/// Where to ask: the admin listener, if there is one.
fn endpoint(server: &Server) -> Result<Endpoint, Failure> {
    let (listen, tls) = match &server.admin_listen {
        Some(listen) => (listen, false),
        None => (&server.listen, server.tls.is_some()),
    };
    let unknown = |why: &str| {
        Failure::new(format!("{listen} cannot be asked: {why}"))
            .advise("give server.admin_listen an address, such as \"127.0.0.1:9090\"; it is asked then")
    };
    match listen {
        _ if tls => Err(unknown("TLS is spoken there, for another name than this machine's")),
        Listen::Tcp(addr) if addr.port() == 0 => Err(unknown("which port is free is known to the service only")),
        Listen::Tcp(addr) => Ok(Endpoint::Tcp { addr: *addr, tls }),
        Listen::Unix(path) => Ok(Endpoint::Unix(path.clone())),
        Listen::Systemd(_) => Err(unknown("what systemd has opened is known to the service only")),
    }
}

async fn status(endpoint: &Endpoint, path: &str) -> std::io::Result<String> {
    match endpoint {
        Endpoint::Unix(socket) => ask(UnixStream::connect(socket).await?, path).await,
        Endpoint::Tcp { addr, .. } => ask(TcpStream::connect(endpoint.reachable().unwrap_or(*addr)).await?, path).await,
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_whitespace().next());
    status.map(str::to_owned).ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}
