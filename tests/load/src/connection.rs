//! HTTP/1.1 over one kept connection, for little processor time: one write and mostly one read for each request.
//!
//! Deliberately absent: redirects, chunked bodies, compression, TLS. The service answers each request with a length.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A server that has not answered by then is not measured, but broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head and body.
const MAX_ANSWER: usize = 64 * 1024;
const MAX_HEADERS: usize = 32;

/// One connection; it is opened when it is needed, and again after a failure.
pub(crate) struct Connection {
    server: SocketAddr,
    stream: Option<TcpStream>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) json: Option<&'a str>,
}

/// Its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A whole head, as read.
struct Head {
    status: u16,
    len: usize,
    body_len: usize,
    closes: bool,
}

impl Connection {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, inbox: Vec::with_capacity(4096), outbox: Vec::with_capacity(1024) }
    }

    /// Connects, if it is not connected.
    pub(crate) async fn open(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn ask(&mut self, request: Request<'_>) -> io::Result<Answer<'_>> {
        self.open().await?;
        // Taken out: whatever goes wrong, and if this is dropped half way, the connection is not used again.
        let Some(mut stream) = self.stream.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        write(&mut self.outbox, self.server, request)?;
        let exchange = async {
            stream.write_all(&self.outbox).await?;
            read(&mut stream, &mut self.inbox).await
        };
        let head = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(Answer { status: head.status, body: &self.inbox[head.len..head.len + head.body_len] })
    }
}

fn write(outbox: &mut Vec<u8>, server: SocketAddr, request: Request<'_>) -> io::Result<()> {
    outbox.clear();
    write!(outbox, "{} {} HTTP/1.1\r\nhost: {server}\r\n", request.method, request.path)?;
    if let Some(bearer) = request.bearer {
        write!(outbox, "authorization: Bearer {bearer}\r\n")?;
    }
    match request.json {
        Some(body) => {
            write!(outbox, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
        None if request.method == "GET" => write!(outbox, "\r\n"),
        None => write!(outbox, "content-length: 0\r\n\r\n"),
    }
}

async fn read(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> io::Result<Head> {
    inbox.clear();
    loop {
        if stream.read_buf(inbox).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up"));
        }
        if let Some(head) = parse(inbox)?
            && inbox.len() >= head.len + head.body_len
        {
            return Ok(head);
        }
        if inbox.len() > MAX_ANSWER {
            return Err(bad("the answer is too long"));
        }
    }
}

/// `None`: there is more to come.
fn parse(inbox: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = response.parse(inbox).map_err(|error| bad(&error.to_string()))? else {
        return Ok(None);
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| str::from_utf8(header.value).ok())
    };
    let status = response.code.ok_or_else(|| bad("there is no status"))?;
    let body_len = match value("content-length") {
        Some(text) => text.trim().parse().map_err(|_| bad("the length is no number"))?,
        None if status == 204 => 0,
        None => return Err(bad("the answer does not tell its length")),
    };
    let closes = value("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
    Ok(Some(Head { status, len, body_len, closes }))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const GET: Request<'_> = Request { method: "GET", path: "/x", bearer: None, json: None };

    /// A server that, for each connection, reads a request and sends these pieces.
    async fn serves(pieces: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                while stream.read(&mut request).await.unwrap() > 0 {
                    for piece in pieces {
                        stream.write_all(piece.as_bytes()).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        });
        server
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces_and_the_connection_is_used_again() {
        let pieces = &["HTTP/1.1 200 O", "K\r\nContent-Length: 4\r\n\r", "\nab", "cd"];
        let mut connection = Connection::new(serves(pieces).await);
        for _ in 0..3 {
            let answer = connection.ask(GET).await.unwrap();
            assert_eq!((answer.status, answer.body), (200, &b"abcd"[..]));
            assert!(connection.stream.is_some());
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error_and_ends_the_connection() {
        for pieces in [
            &["FTP/1.1 200 OK\r\n\r\n"][..],
            &["HTTP/1.1 200 OK\r\n\r\nabcd"],
            &["HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
        ] {
            let mut connection = Connection::new(serves(pieces).await);
            assert!(connection.ask(GET).await.is_err(), "{pieces:?}");
            assert!(connection.stream.is_none(), "{pieces:?}");
        }
    }

    #[test]
    fn a_request_is_written_in_one_piece() {
        let mut text = Vec::new();
        let request = Request { method: "POST", path: "/a", bearer: Some("t"), json: Some("{}") };
        write(&mut text, "127.0.0.1:80".parse().unwrap(), request).unwrap();
        assert_eq!(
            str::from_utf8(&text).unwrap(),
            "POST /a HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer t\r\ncontent-type: application/json\r\n\
             content-length: 2\r\n\r\n{}"
        );
    }
}
