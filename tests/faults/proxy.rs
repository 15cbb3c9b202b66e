//! What stands between the service and its store: a TCP proxy that passes, delays, holds and cuts as a test says.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// Nothing.
    Whole,
    /// It comes later.
    Slow(Duration),
    /// Connections end, and no new one is to be had.
    Gone,
    /// A connection ends before a request of it has reached the store.
    CutBefore,
    /// A connection ends after the store has acted, and before its reply has passed.
    CutAfter,
    /// Requests pass, replies vanish; connections that lost one end when the wire is whole again.
    RepliesLost,
    /// Nothing passes; all of it comes when the wire is whole again.
    Held,
}

/// How the wire is, and for which connections: each of them is lucky or not.
#[derive(Debug, Clone, Copy)]
struct State {
    wire: Wire,
    /// Of eight connections, so many are affected.
    eighths: u64,
}

/// A proxy on a port of its own. It ends with the runtime.
pub(super) struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    state: watch::Sender<State>,
    /// By how much what a store sends to its replicas comes later, whatever else is said of the wire.
    replication: Arc<RwLock<Duration>>,
}

impl Proxy {
    /// Leads nowhere yet.
    pub(super) async fn open() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (state, _) = watch::channel(State { wire: Wire::Whole, eighths: 8 });
        let proxy = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            target: Arc::default(),
            state,
            replication: Arc::default(),
        });
        tokio::spawn(Self::serve(proxy.clone(), listener));
        proxy
    }

    /// Where clients find it, on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on it leads to this port.
    pub(super) fn leads_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// From now on, the wire is this for so many of eight connections.
    pub(super) fn becomes(&self, wire: Wire, eighths: u64) {
        self.state.send_replace(State { wire, eighths });
    }

    /// From now on, replicas hear of writes so much later.
    pub(super) fn delays_replication(&self, by: Duration) {
        *self.replication.write().unwrap() = by;
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        while let Ok((client, _)) = listener.accept().await {
            let lot = COUNT.fetch_add(1, Ordering::Relaxed) % 8;
            let mut lane = Lane { lot, state: self.state.subscribe(), replication: self.replication.clone() };
            let target = self.target.load(Ordering::Relaxed);
            if target == 0 || lane.wire() == Wire::Gone {
                continue;
            }
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let feeds_replica = Arc::new(AtomicU64::new(0));
                let there = lane.clone().carry(from_client, to_server, Way::There, feeds_replica.clone());
                let back = lane.carry(from_server, to_client, Way::Back, feeds_replica);
                // Whichever ends first takes the connection with it.
                tokio::select! { () = there => {}, () = back => {} }
            });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// One direction of one connection.
#[derive(Clone)]
struct Lane {
    lot: u64,
    state: watch::Receiver<State>,
    replication: Arc<RwLock<Duration>>,
}

impl Lane {
    fn wire(&mut self) -> Wire {
        let state = *self.state.borrow_and_update();
        if self.lot < state.eighths { state.wire } else { Wire::Whole }
    }

    /// Until it is cut, or either end is gone.
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, replica: Arc<AtomicU64>) {
        let mut bytes = vec![0; 64 * 1024];
        let mut lost = false;
        loop {
            let read = tokio::select! {
                read = from.read(&mut bytes) => read,
                changed = self.state.changed() => {
                    let over = changed.is_err() || self.wire() == Wire::Gone || (lost && self.wire() == Wire::Whole);
                    if over { return }
                    continue;
                }
            };
            let Ok(len @ 1..) = read else { return };
            if way == Way::There && bytes[..len].windows(5).any(|word| word == b"PSYNC") {
                replica.store(1, Ordering::Relaxed);
            }
            if way == Way::Back && replica.load(Ordering::Relaxed) == 1 {
                let later = *self.replication.read().unwrap();
                tokio::time::sleep(later).await;
            }
            match (self.wire(), way) {
                (Wire::Whole, _) | (Wire::CutAfter | Wire::RepliesLost, Way::There) | (Wire::CutBefore, Way::Back) => {}
                (Wire::Slow(by), _) => tokio::time::sleep(by).await,
                (Wire::Gone, _) | (Wire::CutBefore, Way::There) | (Wire::CutAfter, Way::Back) => return,
                (Wire::RepliesLost, Way::Back) => {
                    lost = true;
                    continue;
                }
                (Wire::Held, _) => {
                    while self.wire() == Wire::Held {
                        if self.state.changed().await.is_err() {
                            return;
                        }
                    }
                }
            }
            if lost || to.write_all(&bytes[..len]).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    /// Answers every byte with itself, and counts what it heard.
    async fn echo() -> (u16, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::<AtomicU64>::default());
        let count = heard.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        count.fetch_add(1, Ordering::Relaxed);
                        stream.write_u8(byte).await.unwrap();
                    }
                });
            }
        });
        (port, heard)
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_u8(7).await?;
        stream.read_u8().await
    }

    async fn proxied() -> (Arc<Proxy>, TcpStream, Arc<AtomicU64>) {
        let (port, heard) = echo().await;
        let proxy = Proxy::open().await;
        proxy.leads_to(port);
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), 7);
        (proxy, stream, heard)
    }

    #[tokio::test]
    async fn a_cut_before_keeps_the_request_and_a_cut_after_the_reply() {
        for (wire, heard_after) in [(Wire::CutBefore, 1), (Wire::CutAfter, 2)] {
            let (proxy, mut stream, heard) = proxied().await;
            proxy.becomes(wire, 8);
            assert!(timeout(SOON, ask(&mut stream)).await.unwrap().is_err());
            assert_eq!(heard.load(Ordering::Relaxed), heard_after, "{wire:?}");
        }
    }

    #[tokio::test]
    async fn lost_replies_are_never_mistaken_for_those_of_later_requests() {
        let (proxy, mut stream, heard) = proxied().await;
        proxy.becomes(Wire::RepliesLost, 8);
        assert!(timeout(SOON, ask(&mut stream)).await.is_err());
        assert_eq!(heard.load(Ordering::Relaxed), 2);
        proxy.becomes(Wire::Whole, 8);
        assert!(timeout(SOON, stream.read_u8()).await.unwrap().is_err(), "the connection ended");
    }

    #[tokio::test]
    async fn what_is_held_comes_in_the_end() {
        let (proxy, mut stream, heard) = proxied().await;
        proxy.becomes(Wire::Held, 8);
        assert!(timeout(SOON, ask(&mut stream)).await.is_err());
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        proxy.becomes(Wire::Whole, 8);
        assert_eq!(timeout(SOON, stream.read_u8()).await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn a_wire_that_is_gone_ends_connections_and_gives_no_new_one() {
        let (proxy, mut stream, _) = proxied().await;
        proxy.becomes(Wire::Gone, 8);
        assert!(timeout(SOON, stream.read_u8()).await.unwrap().is_err());
        let mut next = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert!(timeout(SOON, ask(&mut next)).await.unwrap().is_err());
    }
}
