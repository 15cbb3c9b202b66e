//! A database that is restored from an older backup: what was ended since lives again, and nobody is signed out.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tokio::task::block_in_place;

use super::chance::Chance;
use super::client::{Actor, Device, Life};
use super::run::Run;
use super::site::{Own, Setup, Site, Wishes};
use super::{Amount, is_full, seed};
use crate::support::servers::postgres::Postgres;

pub(super) async fn a_restored_postgres_signs_nobody_out() {
    if !Setup::Postgres.is_wanted() {
        return;
    }
    let (of_each, seed) = (if is_full() { 200 } else { 20 }, seed());
    let site = Arc::new(Site::start(Setup::Postgres, &Wishes::new()).await);
    let run = Run::new(site.clone(), Amount { sessions: 0, operations: 0, faults: 0 });
    let mut actor = Actor { run, chance: Chance::new(seed), one_at_a_time: true };
    let person = actor.signs_up(0).await;
    let (mut honest, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..of_each {
        honest.push(actor.signs_in(&person).await);
        ended.push(actor.signs_in(&person).await);
    }
    let Own::Postgres(server) = &site.own else { unreachable!("a Postgres") };
    let backup = server.data().with_file_name("backup");
    block_in_place(|| while_stopped(server, || copy(&server.data(), &backup)));
    // Since then, some have gone on for longer than spent tokens are remembered, and others have signed out.
    for device in &mut honest {
        for _ in 0..actor.chance.between(1, 9) {
            assert_eq!(actor.refreshes(device).await, Life::Goes);
        }
    }
    for device in &ended {
        actor.revokes(device).await;
    }
    block_in_place(|| {
        while_stopped(server, || {
            std::fs::remove_dir_all(server.data()).unwrap();
            copy(&backup, &server.data());
        });
    });
    let go_on = refresh_all(&mut actor, &mut honest).await;
    let came_back = refresh_all(&mut actor, &mut ended).await;
    println!(
        "postgres restored from a backup, seed {seed}: {came_back} of {of_each} sessions that had ended since came back, {} \
         of {of_each} honest clients were signed out",
        of_each - go_on
    );
    assert_eq!((go_on, came_back), (of_each, of_each), "an end that is lost is lost; nobody else notices");
    // And from here on, all is as it should be: what is ended now stays ended, what goes on goes on.
    for device in &ended {
        actor.revokes(device).await;
    }
    assert_eq!(refresh_all(&mut actor, &mut honest).await, of_each);
    assert_eq!(refresh_all(&mut actor, &mut ended).await, 0);
}

async fn refresh_all(actor: &mut Actor, devices: &mut [Device]) -> usize {
    let mut served = 0;
    for device in devices {
        served += usize::from(actor.refreshes(device).await == Life::Goes);
    }
    served
}

fn while_stopped(server: &Postgres, does: impl FnOnce()) {
    server.stop();
    does();
    server.resume_from_stop();
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
