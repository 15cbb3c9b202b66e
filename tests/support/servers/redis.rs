//! One Redis, three Sentinels over a master and two replicas, a Cluster of six.
//!
//! The shared ones are started once per test binary, and nobody may harm them; tests that stop and kill start their own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::guardian::Guardian;

const PATIENCE: Duration = Duration::from_mins(1);

/// Servers that belong together, and their address for the store.
pub(crate) struct Servers {
    nodes: Vec<Node>,
    sentinels: Vec<Node>,
    url: String,
    guardian: Guardian,
}

/// One server.
pub(crate) struct Node {
    port: u16,
    args: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// What stands before servers that clients are not to reach directly: for each, the port that it is known by.
pub(crate) struct Doors<'a> {
    /// The ports, in the order in which servers start.
    pub(crate) ports: Vec<u16>,
    /// The server of this number has started, and listens at this port.
    pub(crate) open: &'a (dyn Fn(usize, u16) + Sync),
}

impl Doors<'_> {
    fn names(&self, at: usize, option: &str) -> Vec<String> {
        let (ip, port) = (format!("--{option}-announce-ip"), format!("--{option}-announce-port"));
        vec![ip, "127.0.0.1".to_owned(), port, self.ports[at].to_string()]
    }
}

/// The address of a shared server that keeps sessions on disk.
pub(crate) fn single() -> String {
    static SHARED: OnceLock<Servers> = OnceLock::new();
    named("REGRANT_TEST_REDIS_URL").unwrap_or_else(|| SHARED.get_or_init(|| Servers::single(&[])).url.clone())
}

/// The address of a shared master by its Sentinels.
pub(crate) fn sentinel() -> String {
    static SHARED: OnceLock<Servers> = OnceLock::new();
    let start = || Servers::sentinel(Duration::from_secs(10));
    named("REGRANT_TEST_REDIS_SENTINEL_URL").unwrap_or_else(|| SHARED.get_or_init(start).url.clone())
}

/// The address of a shared Cluster.
pub(crate) fn cluster() -> String {
    static SHARED: OnceLock<Servers> = OnceLock::new();
    let start = || Servers::cluster(Duration::from_secs(10));
    named("REGRANT_TEST_REDIS_CLUSTER_URL").unwrap_or_else(|| SHARED.get_or_init(start).url.clone())
}

fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}

impl Servers {
    /// One server, with more arguments.
    pub(crate) fn single(more: &[&str]) -> Self {
        let guardian = Guardian::new("redis");
        let node = Node::start(&guardian, more);
        let url = node.url();
        Self { nodes: vec![node], sentinels: Vec::new(), url, guardian }
    }

    /// A master, two replicas, and three Sentinels that give up on a server which has been silent for so long.
    pub(crate) fn sentinel(silence: Duration) -> Self {
        Self::sentinel_behind(silence, None, &[])
    }

    /// The same behind doors, with more arguments for each server.
    pub(crate) fn sentinel_behind(silence: Duration, doors: Option<&Doors<'_>>, more: &[&str]) -> Self {
        let guardian = Guardian::new("sentinel");
        let start = |at: usize, own: &[&str]| {
            let names = doors.map(|doors| doors.names(at, "replica")).unwrap_or_default();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let node = Node::start(&guardian, &[more, &names, own].concat());
            doors.inspect(|doors| (doors.open)(at, node.port));
            node
        };
        let master = start(0, &[]);
        let port = doors.map_or(master.port, |doors| doors.ports[0]);
        let of = format!("127.0.0.1 {port}");
        let replicas = [1, 2].map(|at| start(at, &["--replicaof", &of]));
        for replica in &replicas {
            replica.wait_until(|info| info.contains("master_link_status:up"), "INFO", &["replication"]);
        }
        let sentinels: Vec<_> = (0..3).map(|_| Node::sentinel(&guardian, port, silence)).collect();
        for sentinel in &sentinels {
            let known = |info: &str| info.contains("slaves=2,sentinels=3");
            sentinel.wait_until(known, "INFO", &["sentinel"]);
        }
        let hosts: Vec<_> = sentinels.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let url = format!("redis+sentinel://{}/main", hosts.join(","));
        let nodes = [master].into_iter().chain(replicas).collect();
        Self { nodes, sentinels, url, guardian }
    }

    /// Three masters with a replica each, which take over from a master that has been silent for so long.
    pub(crate) fn cluster(silence: Duration) -> Self {
        Self::cluster_behind(silence, None, &[])
    }

    /// The same behind doors, with more arguments for each server.
    pub(crate) fn cluster_behind(silence: Duration, doors: Option<&Doors<'_>>, more: &[&str]) -> Self {
        let guardian = Guardian::new("cluster");
        let timeout = silence.as_millis().to_string();
        let nodes: Vec<_> = (0..6)
            .map(|at| {
                let (config, bus) = (format!("nodes-{at}.conf"), free_port().to_string());
                let cluster = ["--cluster-enabled", "yes", "--cluster-config-file", &config, "--cluster-port", &bus];
                let silence = ["--cluster-node-timeout", &timeout, "--cluster-replica-validity-factor", "0"];
                let names = doors.map(|doors| doors.names(at, "cluster")).unwrap_or_default();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let names = if names.is_empty() {
                    names
                } else {
                    [&names, &["--cluster-announce-bus-port", &bus][..]].concat()
                };
                let node = Node::start(&guardian, &[&cluster[..], &silence, &names, more].concat());
                doors.inspect(|doors| (doors.open)(at, node.port));
                node
            })
            .collect();
        let ports = nodes.iter().enumerate().map(|(at, node)| doors.map_or(node.port, |doors| doors.ports[at]));
        let hosts: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        let created = Command::new(program("redis-cli"))
            .args(["--cluster", "create"])
            .args(&hosts)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(created.status.success(), "the Cluster was not made: {}", String::from_utf8_lossy(&created.stdout));
        for node in &nodes {
            let whole = |info: &str| info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384");
            node.wait_until(whole, "CLUSTER", &["INFO"]);
            let in_step = |info: &str| info.contains("role:master") || info.contains("master_link_status:up");
            node.wait_until(in_step, "INFO", &["replication"]);
        }
        let replicas = |node: &Node| node.ask("INFO", &["replication"]).is_ok_and(|i| i.contains("connected_slaves:1"));
        let masters = nodes.iter().filter(|node| replicas(node)).count();
        assert_eq!(masters, 3, "every master of the Cluster has a replica");
        Self { url: format!("redis+cluster://{}", hosts.join(",")), nodes, sentinels: Vec::new(), guardian }
    }

    /// Their address for the store.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The only or the first one.
    pub(crate) fn first(&self) -> &Node {
        &self.nodes[0]
    }

    /// All that keep data.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Those that are masters now.
    pub(crate) fn masters(&self) -> Vec<&Node> {
        let is_master = |node: &&Node| node.ask("INFO", &["replication"]).is_ok_and(|i| i.contains("role:master"));
        self.nodes.iter().filter(is_master).collect()
    }

    /// A number that grows with each attempt of a replica to take over.
    pub(crate) fn epoch(&self) -> u64 {
        let told = if let Some(sentinel) = self.sentinels.first() {
            let mut link = sentinel.connect().unwrap();
            let told: Vec<String> = redis::cmd("SENTINEL").arg(&["MASTER", "main"]).query(&mut link).unwrap();
            told.into_iter().skip_while(|name| *name != "config-epoch").nth(1)
        } else {
            let told = self.nodes.iter().find_map(|node| node.ask("CLUSTER", &["INFO"]).ok()).unwrap();
            let epoch = told.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"));
            epoch.map(|epoch| epoch.trim().to_owned())
        };
        told.and_then(|epoch| epoch.parse().ok()).expect("it tells its epoch")
    }

    /// Where they keep their files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.guardian.folder().to_owned()
    }

    /// Kills a server outright.
    pub(crate) fn kill(&self, node: &Node) {
        let Some(mut child) = node.child.lock().unwrap().take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
        self.guardian.gone(child.id());
    }

    /// Starts one again that was killed.
    pub(crate) fn restart(&self, node: &Node) {
        *node.child.lock().unwrap() = Some(self.guardian.spawn(&mut node.command()).unwrap());
        node.wait_until(|info| info.contains("loading:0"), "INFO", &["persistence"]);
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for node in self.nodes.iter().chain(&self.sentinels) {
            self.kill(node);
        }
    }
}

impl Node {
    fn start(guardian: &Guardian, more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("node-").tempdir_in(guardian.folder()).unwrap().keep();
        let folder = folder.to_str().unwrap();
        let usual = ["--bind", "127.0.0.1", "--dir", folder, "--logfile", "log", "--save", "", "--appendonly", "yes"];
        let sooner = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];
        Self::launch(guardian, "redis-server", || [&usual[..], &sooner[..], more].concat())
    }

    fn sentinel(guardian: &Guardian, master: u16, silence: Duration) -> Self {
        let folder = tempfile::Builder::new().prefix("sentinel-").tempdir_in(guardian.folder()).unwrap().keep();
        let file = folder.join("sentinel.conf");
        let silence = silence.as_millis();
        let config = format!(
            "bind 127.0.0.1\ndir {}\nlogfile log\nsentinel monitor main 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds main {silence}\nsentinel failover-timeout main {}\n",
            folder.display(),
            // Long enough for a failover, and short enough for tests that have one after another.
            silence.clamp(1_000, 3_000)
        );
        std::fs::write(&file, config).unwrap();
        Self::launch(guardian, "redis-server", || vec![file.to_str().unwrap(), "--sentinel"])
    }

    /// A port may be taken by somebody else between being found and being used, so it is tried more than once.
    fn launch<'a>(guardian: &Guardian, name: &str, args: impl Fn() -> Vec<&'a str>) -> Self {
        for _ in 0..5 {
            let port = free_port();
            let mut args: Vec<String> = args().into_iter().map(str::to_owned).collect();
            args.extend(["--port".to_owned(), port.to_string()]);
            args.insert(0, program(name));
            let node = Self { port, args, child: Mutex::default() };
            let mut child = guardian.spawn(&mut node.command()).unwrap();
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE {
                if node.ask("PING", &[]).is_ok() {
                    *node.child.lock().unwrap() = Some(child);
                    return node;
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
            guardian.gone(child.id());
        }
        panic!("{name} does not start; see the logs under {}", guardian.folder().display());
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.args[0]);
        command.args(&self.args[1..]);
        command
    }

    /// Its own address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the test's own.
    pub(crate) fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(2))
    }

    /// Asks for a text.
    pub(crate) fn ask(&self, command: &str, args: &[&str]) -> redis::RedisResult<String> {
        redis::cmd(command).arg(args).query(&mut self.connect()?)
    }

    /// Asks until it is so.
    pub(crate) fn wait_until(&self, is_so: impl Fn(&str) -> bool, command: &str, args: &[&str]) {
        let begun = Instant::now();
        loop {
            let answer = self.ask(command, args);
            if answer.as_deref().is_ok_and(&is_so) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{command} {args:?} still says {answer:?}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.lock().unwrap();
        let pid = child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn program(name: &str) -> String {
    let usual = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/redis/bin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file());
    let found = found.unwrap_or_else(|| {
        panic!(
            "{name} is not installed. Run tests/install-servers, or name servers by REGRANT_TEST_REDIS_URL, \
             REGRANT_TEST_REDIS_SENTINEL_URL and REGRANT_TEST_REDIS_CLUSTER_URL (tests that stop servers need their own \
             all the same), or leave Redis out by REGRANT_TEST_STORES, for example memory,sqlite."
        )
    });
    found.to_str().unwrap().to_owned()
}
