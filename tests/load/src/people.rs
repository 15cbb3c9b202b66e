//! Users who sign up and sign in by HTTP. Each costs the service a password hash.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::Failure;
use crate::answer::Checks;
use crate::chains::{Chains, Order, scattered};
use crate::connection::{Connection, Request};
use crate::drive;
use crate::output;

/// What the users are called who have sessions, and those who only sign in.
pub(crate) const USERS: &str = "load";
pub(crate) const STORM: &str = "storm";

/// Makes the accounts, where they are not there.
pub(crate) async fn sign_up(server: SocketAddr, name: &str, users: u64) -> Result<(), Failure> {
    each(server, "signed up", users, async |connection: &mut Connection, number| {
        let body = drive::credentials(name, number);
        let request = Request { method: "POST", path: "/api/users", bearer: None, json: Some(&body) };
        let answer = connection.ask(request).await.map_err(|error| error.to_string())?;
        match answer.status {
            // 409: it is there from an earlier run, and the service is set to tell so.
            201 | 409 => Ok(()),
            status => Err(format!("a sign-up was answered {status}: {}", String::from_utf8_lossy(answer.body))),
        }
    })
    .await
    .map(drop)
}

/// Their refresh tokens.
pub(crate) async fn sign_in(
    server: SocketAddr,
    name: &str,
    users: u64,
    checks: &Rc<RefCell<Checks>>,
) -> Result<Vec<Box<str>>, Failure> {
    each(server, "signed in", users, async |connection: &mut Connection, number| {
        let answer = drive::sign_in(connection, name, number, checks).await;
        answer.map_err(|wrong| format!("a sign-in was not answered rightly: {wrong}"))
    })
    .await
}

/// Refreshes each session so often: in rounds, one session after the other or at random.
pub(crate) async fn refresh_each(
    server: SocketAddr,
    sessions: u64,
    times: u64,
    order: Order,
    chains: &Rc<RefCell<Chains>>,
    checks: &Rc<RefCell<Checks>>,
) -> Result<(), Failure> {
    for round in 0..times {
        let numbers = numbers(sessions, round, order);
        let refreshed = each(server, "refreshed", sessions, async |connection: &mut Connection, at| {
            let number = numbers[at as usize];
            let answer = drive::refresh(connection, number, chains, checks).await;
            answer.map(drop).map_err(|wrong| format!("a refresh was not answered rightly: {wrong}"))
        });
        refreshed.await?;
    }
    Ok(())
}

/// The numbers of all sessions, as a round takes them.
fn numbers(sessions: u64, round: u64, order: Order) -> Vec<u64> {
    let mut numbers: Vec<_> = (0..sessions).collect();
    if order == Order::Random {
        numbers.sort_by_key(|number| scattered(round * sessions + number));
    }
    numbers
}

async fn each<T>(
    server: SocketAddr,
    what: &str,
    users: u64,
    act: impl AsyncFn(&mut Connection, u64) -> Result<T, String>,
) -> Result<Vec<T>, Failure> {
    let bar = output::progress(&format!("{{wide_bar}} {{pos}} of {{len}} {what}, {{eta}} left"), users);
    let (next, done) = (std::cell::Cell::new(0), RefCell::new(Vec::new()));
    let worker = async || -> Result<(), String> {
        let mut connection = Connection::new(server);
        while next.get() < users {
            let number = next.replace(next.get() + 1);
            let answer = act(&mut connection, number).await?;
            done.borrow_mut().push(answer);
            bar.inc(1);
        }
        Ok(())
    };
    // Eight at once: fewer than may wait for a hash.
    tokio::try_join!(worker(), worker(), worker(), worker(), worker(), worker(), worker(), worker())?;
    bar.finish_and_clear();
    Ok(done.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_each_session_once_and_at_random_in_another_order() {
        let in_order: Vec<u64> = (0..5_000).collect();
        assert_eq!(numbers(5_000, 3, Order::Each), in_order);
        let (mut one, other) = (numbers(5_000, 3, Order::Random), numbers(5_000, 4, Order::Random));
        assert_ne!(one, other);
        let near = one.windows(2).filter(|two| two[0].abs_diff(two[1]) < 10).count();
        assert!(near < 100, "of 5,000 pairs {near} are neighbours");
        one.sort_unstable();
        assert_eq!(one, in_order);
    }
}
