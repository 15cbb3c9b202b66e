//! Users who sign up and sign in by HTTP. Each costs the service a password hash.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::Failure;
use crate::answer::Checks;
use crate::chains::Chains;
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

/// Refreshes each session so often.
pub(crate) async fn refresh_each(
    server: SocketAddr,
    sessions: u64,
    times: u32,
    chains: &Rc<RefCell<Chains>>,
    checks: &Rc<RefCell<Checks>>,
) -> Result<(), Failure> {
    for _ in 0..times {
        let refreshed = each(server, "refreshed", sessions, async |connection: &mut Connection, number| {
            let answer = drive::refresh(connection, number, chains, checks).await;
            answer.map(drop).map_err(|wrong| format!("a refresh was not answered rightly: {wrong}"))
        });
        refreshed.await?;
    }
    Ok(())
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
