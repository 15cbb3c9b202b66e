//! Where the service listens: an address, a Unix socket, or a socket that systemd has opened.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::failure::Failure;
use crate::settings::{Listen, Server};

/// What connections are accepted from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// Its file is removed when nobody listens any more, if we made it.
    Unix {
        listener: UnixListener,
        _file: Option<SocketFile>,
    },
}

/// A connection, and the address it came from, where it has one.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

/// Where a service can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// By TCP, inside TLS or not.
    Tcp {
        /// Where it listens.
        addr: SocketAddr,
        /// Whether TLS is spoken there.
        tls: bool,
    },
    /// By a Unix socket with this path.
    Unix(PathBuf),
}

impl Endpoint {
    /// The address, unless it is a Unix socket.
    pub const fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { addr, .. } => Some(*addr),
            Self::Unix(_) => None,
        }
    }

    /// What the URLs of its resources begin with, for a client on this machine.
    pub fn url(&self) -> String {
        match (self, self.reachable()) {
            (Self::Tcp { tls: true, .. }, Some(addr)) => format!("https://{addr}"),
            (_, Some(addr)) => format!("http://{addr}"),
            (_, None) => "http://localhost".into(),
        }
    }

    /// The address for a client on this machine, unless it is a Unix socket: one that means every interface is not it.
    pub fn reachable(&self) -> Option<SocketAddr> {
        let addr = self.addr()?;
        let ip = match addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Some(SocketAddr::new(ip, addr.port()))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { .. } => f.write_str(&self.url()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Stream::Tcp(stream, peer.ip())),
            Self::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// Where it is reached; `tls`: whether TLS is spoken there.
    fn endpoint(&self, tls: bool) -> io::Result<Endpoint> {
        Ok(match self {
            Self::Tcp(listener) => Endpoint::Tcp { addr: listener.local_addr()?, tls },
            Self::Unix { listener, .. } => {
                Endpoint::Unix(listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default())
            }
        })
    }
}

/// Opens what the settings name; `setting` is what to change where it cannot be opened. `inherited` are systemd's.
pub(super) async fn open(
    listen: &Listen,
    server: &Server,
    setting: &str,
    tls: bool,
    inherited: &mut Inherited,
) -> Result<(Listener, Endpoint), Failure> {
    let listener = match listen {
        Listen::Tcp(addr) => tcp(*addr, setting).await?,
        Listen::Unix(path) => unix(path, server.unix_mode, setting).await?,
        Listen::Systemd(name) => inherited.take(name.as_deref(), setting)?,
    };
    if tls && matches!(listener, Listener::Unix { .. }) {
        return Err(Failure::new(format!("{listen} is a Unix socket, and TLS is not spoken there"))
            .advise("leave server.tls_certificate and server.tls_key empty, or listen on an address"));
    }
    let endpoint = listener
        .endpoint(tls)
        .map_err(|error| Failure::new("the address that is listened on cannot be found out").because(&error))?;
    Ok((listener, endpoint))
}

async fn tcp(addr: SocketAddr, setting: &str) -> Result<Listener, Failure> {
    TcpListener::bind(addr).await.map(Listener::Tcp).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => {
                "another program (or another Regrant) listens there: stop it, or choose another port with"
            }
            ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose another one with",
            _ => "choose an address of this machine with",
        };
        let failure = Failure::new(format!("{addr} cannot be listened on")).because(&error);
        failure.advise(format!("{advice} {setting}"))
    })
}

async fn unix(path: &Path, mode: u32, setting: &str) -> Result<Listener, Failure> {
    let failed = |error: io::Error| Failure::new(format!("{} cannot be listened on", path.display())).because(&error);
    remove_stale(path, setting).await?;
    let listener = UnixListener::bind(path).map_err(|error| {
        failed(error).advise(format!("its folder must exist and be writable; choose another path with {setting}"))
    })?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(Listener::Unix { listener, _file: Some(file) })
}

/// Removes the socket of a process that did not stop in good order: nobody answers there. Anything else is left alone.
async fn remove_stale(path: &Path, setting: &str) -> Result<(), Failure> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(Failure::new(format!("{} is there already and is no socket", path.display()))
            .advise(format!("choose another path with {setting}")));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(|error| {
            Failure::new(format!("the socket {} of an earlier run cannot be removed", path.display())).because(&error)
        }),
        _ => Err(Failure::new(format!("another program (or another Regrant) listens on {}", path.display()))
            .advise(format!("stop it, or choose another path with {setting}"))),
    }
}

/// Removes the file of a socket when nobody listens on it any more.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it cannot be removed, the next start does it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The sockets that systemd has opened for this process (`sd_listen_fds(3)`).
pub(super) struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Inherited {
    /// Reads the environment; once, since reading takes the variables away.
    pub(super) fn from_env() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self { sockets: ListenFd::from_env(), names }
    }

    fn take(&mut self, name: Option<&str>, setting: &str) -> Result<Listener, Failure> {
        let at = match name {
            None => Some(0),
            Some(name) => self.names.iter().position(|given| given == name),
        };
        let socket = at.map_or(Ok(None), |at| self.listener(at)).map_err(|error| {
            Failure::new("the socket that systemd has opened cannot be used").because(&error).advise(
                "it must be a ListenStream= of the socket unit with an address or a path, not a datagram socket",
            )
        })?;
        socket.ok_or_else(|| {
            let which = name.map_or(String::new(), |name| format!(" with FileDescriptorName={name}"));
            Failure::new(format!("systemd has opened no socket{which} for this process")).advise(format!(
                "start it by its socket unit (systemctl start regrant.socket), or name an address with {setting}"
            ))
        })
    }

    fn listener(&mut self, at: usize) -> io::Result<Option<Listener>> {
        let tcp = self.sockets.take_tcp_listener(at);
        if let Ok(Some(listener)) = tcp {
            listener.set_nonblocking(true)?;
            return TcpListener::from_std(listener).map(|listener| Some(Listener::Tcp(listener)));
        }
        let Some(listener) = self.sockets.take_unix_listener(at)? else { return Ok(None) };
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(|listener| Some(Listener::Unix { listener, _file: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_every_interface_is_told_as_one_that_can_be_reached() {
        for (listen, tls, told) in [
            ("127.0.0.1:8080", false, "http://127.0.0.1:8080"),
            ("0.0.0.0:80", false, "http://127.0.0.1:80"),
            ("[::]:80", true, "https://[::1]:80"),
            ("[2001:db8::1]:80", false, "http://[2001:db8::1]:80"),
        ] {
            let addr = listen.parse().expect("an address");
            assert_eq!(Endpoint::Tcp { addr, tls }.url(), told);
        }
        assert_eq!(Endpoint::Unix("/run/x.sock".into()).to_string(), "unix:/run/x.sock");
    }
}
