//! One token, presented many times at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use regrant_domain::ports::Event;
use regrant_domain::refresh_token::Generation;
use regrant_domain::session::Status;
use tokio::sync::Barrier;

use super::{Fleet, Store, crowd, scaled, tell};
use crate::support::actors::Device;

const AT_ONCE: usize = 64;

pub(super) async fn simultaneous_refreshes_of_one_token_have_one_successor(store: Store) {
    let sessions = scaled(500);
    let fleet = Fleet::of(store.deploy().await).await;
    let begun = Instant::now();
    let ada = fleet.somebody().await;
    crowd(sessions, 3, |at| {
        let (fleet, ada) = (fleet.clone(), ada.clone());
        async move {
            let device = ada.at(fleet.turn(at)).signs_in().await;
            one_session(&fleet, device).await;
        }
    })
    .await;
    let (mut rotated, mut replayed) = (0, 0);
    for event in fleet.events() {
        match event {
            Event::Rotated { .. } => rotated += 1,
            Event::Replayed { .. } => replayed += 1,
            Event::Refused { .. } | Event::Ended { .. } | Event::Healed { .. } | Event::Reissued { .. } => {
                panic!("{event:?}")
            }
            _ => {}
        }
    }
    assert_eq!(rotated, 2 * sessions, "each token was spent once");
    assert_eq!(replayed, (AT_ONCE - 1) * sessions, "and answered with the same again");
    tell(store, begun, &format!("{AT_ONCE} refreshes of one token, {sessions} sessions: one successor each"));
}

async fn one_session(fleet: &Fleet, device: Device) {
    let start = Arc::new(Barrier::new(AT_ONCE));
    let successors: HashSet<_> = crowd(AT_ONCE, AT_ONCE, |at| {
        let (device, start) = (device.at(fleet.turn(at)), start.clone());
        async move {
            start.wait().await;
            device.presents(&device.refresh).await.is_granted()
        }
    })
    .await
    .into_iter()
    .collect();
    let successors: Vec<_> = successors.into_iter().collect();
    let [successor] = &successors[..] else { panic!("{} successors", successors.len()) };
    for found in fleet.found(successor).await {
        let found = found.expect("the session is there");
        assert_eq!(found.session.status, Status::Live);
        assert_eq!(found.token.held.generation, Generation(1));
    }
    let device = device.at(fleet.turn(1));
    device.presents(successor).await.is_granted();
    device.is_signed_in().await;
}
