//! Where to listen, as it is written: `server.listen` and `server.admin_listen`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket that is made at this path.
    Unix(PathBuf),
    /// A socket that systemd has opened already (`sd_listen_fds(3)`): the one of this `FileDescriptorName`, or the first.
    Systemd(Option<String>),
}

impl Listen {
    pub(super) const ACCEPTED: &str = "an IP address and a port, such as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \
         \"[::1]:8080\", or \"unix:/run/regrant/http.sock\", or \"systemd\"";
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", "")) => Err("the path is missing".into()),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("systemd", "")) => Err("the name is missing".into()),
            Some(("systemd", name)) => Ok(Self::Systemd(Some(name.into()))),
            None if text == "systemd" => Ok(Self::Systemd(None)),
            _ => text.parse().map(Self::Tcp).map_err(|why: std::net::AddrParseError| why.to_string()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_alike() {
        for (text, listen) in [
            ("127.0.0.1:80", Listen::Tcp(([127, 0, 0, 1], 80).into())),
            ("unix:/run/x.sock", Listen::Unix("/run/x.sock".into())),
            ("unix:x:y.sock", Listen::Unix("x:y.sock".into())),
            ("systemd", Listen::Systemd(None)),
            ("systemd:admin", Listen::Systemd(Some("admin".into()))),
        ] {
            assert_eq!(text.parse(), Ok(listen.clone()));
            assert_eq!(listen.to_string(), text);
        }
        for text in ["", "unix", "unix:", "systemd:", "localhost:80", "[::1]:80:81", "/run/x.sock"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
