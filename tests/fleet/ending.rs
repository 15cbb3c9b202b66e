//! Ends beside refreshes, and ends that another instance hears of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regrant_domain::reason::EndReason;
use regrant_domain::session::Status;

use super::{Fleet, Store, a_while, crowd, scaled, tell};
use crate::support::actors::Device;
use crate::support::transport::Call;

const REFRESHERS: usize = 32;
/// Within which time the refreshes and the revoke of one session begin.
const SPREAD: Duration = Duration::from_millis(40);

/// What the refreshers of one session, or of all, came to.
#[derive(Default)]
struct Tally {
    /// When each refresh began that was granted, and its token.
    granted: Vec<(Instant, String)>,
    refused: usize,
}

/// Whatever was asked after the revoke's answer was there is refused, and every token that was handed out is dead.
pub(super) async fn no_refresh_that_starts_after_a_revoke_was_acknowledged_succeeds(store: Store) {
    let sessions = scaled(2000);
    let fleet = Fleet::of(store.deploy().await).await;
    let begun = Instant::now();
    let ada = fleet.somebody().await;
    let all = crowd(sessions, 3, |at| {
        let (fleet, ada) = (fleet.clone(), ada.clone());
        async move {
            let device = ada.at(fleet.turn(at)).signs_in().await;
            one_session(&fleet, device, at).await
        }
    })
    .await;
    let granted: usize = all.iter().map(|tally| tally.granted.len()).sum();
    let refused: usize = all.iter().map(|tally| tally.refused).sum();
    assert!(granted > sessions && refused > sessions, "they met: {granted} granted, {refused} refused");
    let figures = format!("{sessions} revokes beside {granted} refreshes that were granted and {refused} refused");
    tell(store, begun, &figures);
}

async fn one_session(fleet: &Fleet, device: Device, at: usize) -> Tally {
    let device = Arc::new(device);
    let (revoker, other) = (device.at(fleet.turn(at)), device.at(fleet.turn(at + 1)));
    let revoke = tokio::spawn(async move {
        a_while(SPREAD).await;
        revoker.revokes().await.is(204);
        let acknowledged = Instant::now();
        // At once, at the other instance.
        other.presents(&other.refresh).await.is_refused("signed_out");
        acknowledged
    });
    let tallies = crowd(REFRESHERS, REFRESHERS, |at| refresher(device.at(fleet.turn(at)))).await;
    let acknowledged = revoke.await.unwrap();
    let mut all = Tally::default();
    for tally in tallies {
        all.granted.extend(tally.granted);
        all.refused += tally.refused;
    }
    assert!(all.granted.iter().all(|(begun, _)| *begun < acknowledged), "a revoked session was refreshed");
    let last = all.granted.iter().max_by_key(|(begun, _)| begun).map_or(&device.refresh, |(_, token)| token);
    for found in fleet.found(&device.refresh).await {
        let status = found.expect("it is not swept yet").session.status;
        assert!(matches!(status, Status::Ended { reason: EndReason::SignedOut, .. }), "{status:?}");
    }
    for instance in fleet.instances() {
        device.at(&instance.transport).presents(last).await.is_refused("signed_out");
    }
    all
}

/// Refreshes twice, or until it is refused. (Twice only: who presents a token that is long spent is a thief.)
async fn refresher(device: Device) -> Tally {
    let mut tally = Tally::default();
    let mut token = device.refresh.clone();
    a_while(SPREAD).await;
    for _ in 0..2 {
        let begun = Instant::now();
        let answer = device.presents(&token).await;
        if answer.0.status == 200 {
            token = answer.is_granted();
            tally.granted.push((begun, token.clone()));
            continue;
        }
        tally.refused += 1;
        // Another refresher may be a token ahead.
        let superseded = answer.0.json()["code"] == "superseded";
        answer.is_refused(if superseded { "superseded" } else { "signed_out" });
        break;
    }
    tally
}

pub(super) async fn an_end_acknowledged_by_one_instance_is_seen_by_the_other_at_once(store: Store) {
    let times = scaled(1000);
    let fleet = Fleet::of(store.deploy().await).await;
    let begun = Instant::now();
    crowd(times, 8, |at| {
        let fleet = fleet.clone();
        async move {
            let ada = fleet.somebody().await;
            let device = ada.at(fleet.turn(at)).signs_in().await;
            let (here, there) = (device.at(fleet.turn(at / 3)), device.at(fleet.turn(at / 3 + 1)));
            there.is_signed_in().await;
            let code = match at % 3 {
                0 => {
                    here.revokes().await.is(204);
                    "signed_out"
                }
                1 => {
                    here.asks(Call::delete(format!("/api/sessions/{}", device.session))).await.is(204);
                    "signed_out"
                }
                _ => {
                    here.asks(Call::delete("/api/sessions?include_current=true")).await.is(204);
                    "signed_out_elsewhere"
                }
            };
            there.presents(&device.refresh).await.is_refused(code);
            there.is_signed_out(code).await;
        }
    })
    .await;
    tell(store, begun, &format!("{times} ends seen by the other instance at once"));
}
