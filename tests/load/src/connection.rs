//! HTTP/1.1 over one kept connection, for little processor time: one write and mostly one read for each request, and of a
//! head only what is asked for.
//!
//! Deliberately absent: redirects, chunked bodies, compression, TLS. The service answers each request with a length.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use memchr::memchr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// A server that has not answered by then is not measured, but broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head and body.
const MAX_ANSWER: usize = 64 * 1024;

/// One connection; it is opened when it is needed, and again after a failure.
pub(crate) struct Connection {
    server: SocketAddr,
    /// What each request begins with, after its first line.
    host: String,
    stream: Option<TcpStream>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    limit: Limit,
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
    /// Status and headers, as they came.
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.head;
        let lines = std::iter::from_fn(|| {
            let (line, after) = line(rest)?;
            rest = after;
            Some(line)
        });
        lines.filter_map(field).find(|(is, _)| is.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
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
        let host = format!("host: {server}\r\n");
        let (inbox, outbox) = (Vec::with_capacity(4096), Vec::with_capacity(1024));
        Self { server, host, stream: None, inbox, outbox, limit: Limit::default() }
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
        write(&mut self.outbox, &self.host, request);
        let exchange = async {
            stream.write_all(&self.outbox).await?;
            read(&mut stream, &mut self.inbox).await
        };
        let head = self.limit.hold(PATIENCE, exchange).await?;
        if !head.closes {
            self.stream = Some(stream);
        }
        let (head_of, body) = self.inbox.split_at(head.len);
        Ok(Answer { status: head.status, head: head_of, body: &body[..head.body_len] })
    }
}

/// How long a request may take. One timer serves many requests: to set one for each would cost as much as to read the answer.
#[derive(Default)]
struct Limit {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Limit {
    /// Always for as long.
    async fn hold<T>(&mut self, long: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let deadline = Instant::now() + long;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            // It may have been set for an earlier request: then it goes off too early, and is set again.
            while timer.as_mut().poll(context).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

fn write(outbox: &mut Vec<u8>, host: &str, request: Request<'_>) {
    outbox.clear();
    let mut say = |parts: &[&str]| parts.iter().for_each(|part| outbox.extend_from_slice(part.as_bytes()));
    say(&[request.method, " ", request.path, " HTTP/1.1\r\n", host]);
    if let Some(bearer) = request.bearer {
        say(&["authorization: Bearer ", bearer, "\r\n"]);
    }
    match request.json {
        Some(body) => {
            let len = body.len().to_string();
            say(&["content-type: application/json\r\ncontent-length: ", &len, "\r\n\r\n", body]);
        }
        None if request.method == "GET" => say(&["\r\n"]),
        None => say(&["content-length: 0\r\n\r\n"]),
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
    let Some((first, mut rest)) = line(inbox) else { return Ok(None) };
    let status = status(first).ok_or_else(|| bad("it is no answer of HTTP/1.1"))?;
    let (mut body_len, mut closes) = (None, false);
    loop {
        let Some((line, after)) = line(rest) else { return Ok(None) };
        rest = after;
        if line.is_empty() {
            break;
        }
        // Most headers are neither, as the length of their names tells.
        let Some((name, value)) = field(line) else { continue };
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            body_len = Some(number(value).ok_or_else(|| bad("the length is no number"))?);
        } else if name.len() == 10 && name.eq_ignore_ascii_case(b"connection") {
            closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    let body_len = match body_len {
        Some(len) => len,
        None if status == 204 => 0,
        None => return Err(bad("the answer does not tell its length")),
    };
    Ok(Some(Head { status, len: inbox.len() - rest.len(), body_len, closes }))
}

/// The first line, and what is after it; `None`: it is not there as a whole.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

/// Of `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    number(code).and_then(|code| u16::try_from(code).ok())
}

/// Name and value.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn number(text: &[u8]) -> Option<usize> {
    str::from_utf8(text).ok()?.parse().ok()
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
    fn a_head_is_read_whatever_the_case_and_the_order_of_its_headers() {
        let head = |text: &str| parse(text.as_bytes());
        let whole =
            head("HTTP/1.1 401 Unauthorized\r\nX-Auth: a: b\r\nCONTENT-length:  12 \r\nConnection: Close\r\n\r\nab");
        let whole = whole.unwrap().unwrap();
        assert_eq!((whole.status, whole.body_len, whole.closes, whole.len), (401, 12, true, 84));
        let none = head("HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n").unwrap().unwrap();
        assert_eq!((none.body_len, none.closes), (0, false));
        assert!(head("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n").unwrap().is_none());
        for text in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 2\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200\r\ncontent-length: -1\r\n\r\n",
        ] {
            assert!(head(text).is_err(), "{text}");
        }
        let answer = Answer { status: 200, head: b"HTTP/1.1 200 OK\r\nX-Auth-User: u\r\nb: c\r\n\r\n", body: b"" };
        assert_eq!((answer.header("x-auth-user"), answer.header("x-auth")), (Some(&b"u"[..]), None));
    }

    #[tokio::test]
    async fn the_time_of_an_earlier_request_does_not_count_and_a_request_has_an_end() {
        let mut limit = Limit::default();
        limit.hold(Duration::from_millis(1), async { Ok(()) }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Not ready at once, so that the timer is looked at, which is over by now.
        let slow = async {
            tokio::task::yield_now().await;
            Ok(())
        };
        assert!(limit.hold(Duration::from_hours(1), slow).await.is_ok());
        let never = std::future::pending::<io::Result<()>>();
        let over = Limit::default().hold(Duration::from_millis(1), never).await;
        assert_eq!(over.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_request_is_written_in_one_piece() {
        let mut text = Vec::new();
        let request = Request { method: "POST", path: "/a", bearer: Some("t"), json: Some("{}") };
        write(&mut text, "host: 127.0.0.1:80\r\n", request);
        assert_eq!(
            str::from_utf8(&text).unwrap(),
            "POST /a HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer t\r\ncontent-type: application/json\r\n\
             content-length: 2\r\n\r\n{}"
        );
    }
}
