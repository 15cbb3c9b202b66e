//! What is lost when a master dies: measured, not asserted, except that no honest client is signed out by it.
//!
//! A rotation and an end are acknowledged; at that moment the master is gone, with whatever it had not delivered. (What
//! is on its way to a replica is cut off with it: replication that is so many milliseconds behind loses them.) A replica
//! takes over; the old master comes back as a replica; then the client of the rotation refreshes, and somebody presents
//! the token of the session that was ended. The figures are written under `target/tmp`, and quoted in
//! `docs/guarantees.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use regrant_domain::ids::SessionId;
use regrant_domain::refresh_token::LookupKey;
use reqwest::Method;
use tokio::task::block_in_place;

use super::chance::Chance;
use super::client::{Actor, Device, Life, Person};
use super::history::Heard;
use super::proxy::Wire;
use super::run::Run;
use super::site::{Own, Setup, Site, Wishes};
use super::wire::{Ask, Reply};
use super::{Amount, is_full, seed};
use crate::support::servers::redis::{Node, Servers};

/// How far replication is behind, in turn.
const BEHIND: [Duration; 2] = [Duration::ZERO, Duration::from_millis(20)];
/// After such a silence of a master, a replica takes over.
const SILENCE: Duration = Duration::from_millis(1_200);
const PATIENCE: Duration = Duration::from_mins(1);

/// What was counted, for one distance of the replicas.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    kills: usize,
    ends_lost: usize,
    rotations_lost: usize,
    signed_out: usize,
    /// Rounds that another failover spoilt.
    disturbed: usize,
}

struct Measuring {
    site: Arc<Site>,
    actor: Actor,
    person: Person,
}

pub(super) async fn a_master_that_dies_signs_nobody_out(setup: Setup, ack: &'static str) {
    if !setup.is_wanted() {
        return;
    }
    let kills = if is_full() { 200 } else { 4 };
    let begun = Instant::now();
    let seed = seed();
    let wishes = Wishes { silence: SILENCE, ..Wishes::new() }
        .with("REGRANT__STORE__ACK", ack)
        .with("REGRANT__CLOCK__CHECK_EVERY", "5s");
    let site = Arc::new(Site::start(setup, &wishes).await);
    let run = Run::new(site.clone(), Amount { sessions: 0, operations: 0, faults: 0 });
    let mut actor = Actor { run, chance: Chance::new(seed), one_at_a_time: true };
    let person = actor.signs_up(0).await;
    let mut measuring = Measuring { site, actor, person };
    let mut all = [Figures::default(); 2];
    for turn in (0..2).cycle() {
        if all.iter().map(|figures| figures.kills).sum::<usize>() >= kills {
            break;
        }
        measuring.round(BEHIND[turn], &mut all[turn]).await;
    }
    let told = format!("{} with store.ack = \"{ack}\", seed {seed}: {}", setup.name(), told(&all));
    println!("{told}; {:.0} s", begun.elapsed().as_secs_f32());
    let name = format!("losses-{}-{}.txt", setup.name(), ack.replace(':', "-"));
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name), told + "\n").unwrap();
    assert!(all.iter().all(|figures| figures.signed_out == 0), "an honest client was signed out");
    let operations = measuring.actor.run.operations.load(Ordering::Relaxed);
    assert!(operations > kills as u64 * 5);
}

fn told(all: &[Figures; 2]) -> String {
    let told = all.iter().zip(BEHIND).map(|(figures, behind)| {
        let Figures { kills, ends_lost, rotations_lost, signed_out, disturbed } = figures;
        format!(
            "replicas {} ms behind: {kills} kills, {ends_lost} ended sessions came back, {rotations_lost} rotations were \
             lost, {signed_out} honest clients were signed out ({disturbed} rounds are not counted)",
            behind.as_millis(),
        )
    });
    told.collect::<Vec<_>>().join("; ")
}

impl Measuring {
    async fn round(&mut self, behind: Duration, figures: &mut Figures) {
        self.replicas_are_behind_by(Duration::ZERO);
        let epoch = block_in_place(|| self.servers().epoch());
        let (mut honest, mut ended, at) = self.two_of_one_master().await;
        let site = self.site.clone();
        let servers = servers_of(&site);
        let master = &servers.nodes()[at];
        if !block_in_place(|| replicas_have_all(master)) {
            figures.disturbed += 1;
            return;
        }
        self.replicas_are_behind_by(behind);
        let healed = self.healed();
        let mut other = self.actor.twin();
        let ((), rotated) = tokio::join!(other.revokes(&ended), self.actor.refreshes(&mut honest));
        // Both are acknowledged. Now.
        self.site.proxies[at].becomes(Wire::Gone, 8);
        servers.kill(master);
        block_in_place(|| self.site.heals(servers, at));
        self.everybody_finds_the_store_again().await;
        // On a busy machine, further replicas take over by themselves, and lose what is not counted here.
        if rotated == Life::Over || servers.epoch() > epoch + 1 {
            figures.disturbed += 1;
            return;
        }
        figures.kills += 1;
        if self.actor.refreshes(&mut honest).await == Life::Over {
            println!("{}: an honest client heard {:?}", self.site.setup.name(), self.last_heard(&honest));
            figures.signed_out += 1;
        }
        figures.rotations_lost += self.healed() - healed;
        figures.ends_lost += usize::from(self.actor.refreshes(&mut ended).await == Life::Goes);
    }

    /// No process is left behind.
    async fn everybody_finds_the_store_again(&self) {
        let begun = Instant::now();
        let ready = Ask::new(Method::GET, "/readyz");
        for at in 0..self.site.services.len() {
            while !matches!(self.actor.run.line.send(&ready, at).await, Reply::Came(came) if came.status == 200) {
                assert!(begun.elapsed() < PATIENCE, "process {at} does not find the store again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn servers(&self) -> &Servers {
        servers_of(&self.site)
    }

    fn replicas_are_behind_by(&self, by: Duration) {
        for proxy in &self.site.proxies {
            proxy.delays_replication(by);
        }
    }

    /// What this device heard last.
    fn last_heard(&self, device: &Device) -> Option<Heard> {
        let history = self.actor.run.recorder.history();
        history.records.into_iter().rev().find(|record| record.whose == device.number).map(|record| record.heard)
    }

    /// Two sessions that one master keeps, and which server that is.
    async fn two_of_one_master(&mut self) -> (Device, Device, usize) {
        let mut kept: Vec<(Device, usize)> = Vec::new();
        loop {
            let device = self.actor.signs_in(&self.person).await;
            let at = block_in_place(|| keeper(self.servers(), &device));
            if let Some(other) = kept.iter().position(|(_, other)| *other == at) {
                return (device, kept.swap_remove(other).0, at);
            }
            kept.push((device, at));
        }
    }

    /// How often a process has adopted a client's newer token so far.
    fn healed(&self) -> usize {
        let log = |service: &super::process::Process| std::fs::read_to_string(service.log()).unwrap();
        self.site.services.iter().map(|service| log(service).matches("event=\"healed\"").count()).sum()
    }
}

fn servers_of(site: &Site) -> &Servers {
    match &site.own {
        Own::Redis(servers) => servers,
        Own::Nothing | Own::Postgres(_) => unreachable!("only Redis has replicas here"),
    }
}

/// Waits until each replica of this master has acknowledged all that it has written so far; `false`: it is a master no
/// more.
fn replicas_have_all(master: &Node) -> bool {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_default();
    let mut written = None;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let info = master.ask("INFO", &["replication"]).unwrap_or_default();
        if !info.contains("role:master") {
            return false;
        }
        let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).map(number);
        let all = *written.get_or_insert(offset.unwrap_or(u64::MAX));
        let replicas: Vec<_> = info.lines().filter(|line| line.starts_with("slave")).collect();
        let acknowledged = |line: &&str| {
            let offset = line.split(',').find_map(|field| field.strip_prefix("offset="));
            offset.map(number).is_some_and(|offset| offset >= all)
        };
        if !replicas.is_empty() && replicas.iter().all(acknowledged) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the replicas do not follow");
}

/// The master that keeps this session.
fn keeper(servers: &Servers, device: &Device) -> usize {
    let lookup = LookupKey::of_session(SessionId::from_bytes(device.session()));
    let key = format!("rg:s:{{{}}}", lookup.as_str());
    let keeps = |node: &Node| {
        let is_master = node.ask("INFO", &["replication"]).is_ok_and(|info| info.contains("role:master"));
        // A node of a Cluster that is not concerned says so by an error.
        let there = node.connect().and_then(|mut link| redis::cmd("EXISTS").arg(&key).query::<u8>(&mut link));
        is_master && there.is_ok_and(|count| count == 1)
    };
    servers.nodes().iter().position(keeps).expect("a master keeps it")
}

impl Site {
    /// A replica has taken over from the server of this number, which comes back as a replica.
    fn heals(&self, servers: &Servers, at: usize) {
        let dead = &servers.nodes()[at];
        let begun = Instant::now();
        let (masters, replicas) =
            if self.setup == Setup::RedisCluster { (3, "connected_slaves:1") } else { (1, "connected_slaves:2") };
        while servers.masters().len() < masters {
            assert!(begun.elapsed() < PATIENCE, "nobody has taken over");
            std::thread::sleep(Duration::from_millis(20));
        }
        let heir = servers.masters()[0].port();
        servers.restart(dead);
        self.proxies[at].becomes(Wire::Whole, 8);
        if self.setup == Setup::RedisSentinel {
            // Sentinel does so as well, after some seconds; if it is at it already, this is of no use.
            let heir = servers.nodes().iter().position(|node| node.port() == heir).unwrap();
            let door = self.proxies[heir].port().to_string();
            let _ = dead.ask("REPLICAOF", &["127.0.0.1", &door]);
        }
        self.is_whole();
        // On a busy machine another replica may take over meanwhile, so it is looked who is master now.
        let is_complete = |node: &&Node| node.ask("INFO", &["replication"]).is_ok_and(|info| info.contains(replicas));
        let in_step = |node: &Node| {
            let info = node.ask("INFO", &["replication"]).unwrap_or_default();
            info.contains("role:master") || info.contains("master_link_status:up")
        };
        loop {
            let now = servers.masters();
            if now.len() == masters && now.iter().all(is_complete) && servers.nodes().iter().all(in_step) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE * 2, "it does not become whole again");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
