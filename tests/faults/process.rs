//! A process of the built program that is killed, stopped, continued and started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::service::binary;
use crate::support::servers::guardian::Guardian;

/// A file that grows beyond its limit is to be an error, as a full disk is, and not the end of the process.
const LAUNCH: &str = r#"trap '' XFSZ; exec "$@""#;
const PATIENCE: Duration = Duration::from_mins(2);

/// `regrant serve`, with files of its own.
pub(super) struct Process {
    home: PathBuf,
    env: Vec<(String, String)>,
    guardian: Guardian,
    child: Mutex<Option<Child>>,
    base: RwLock<String>,
}

impl Process {
    /// Starts it and waits until it is ready.
    pub(super) fn start(env: Vec<(String, String)>) -> Self {
        let guardian = Guardian::new("faults");
        let home = guardian.folder().to_owned();
        let process = Self { home, env, guardian, child: Mutex::default(), base: RwLock::default() };
        process.starts();
        process
    }

    /// Starts it again, on another port; and again, as whoever supervises it would, if the store is not to be had yet.
    pub(super) fn starts(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready_once_started() {
            assert!(Instant::now() < deadline, "it does not start:\n{}", self.last_told());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_ready_once_started(&self) -> bool {
        let out = self.home.join("out");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", LAUNCH, "sh"]).arg(binary()).args(["--listen", "127.0.0.1:0", "--data"]);
        command.arg(self.home.join("data")).current_dir(&self.home).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        self.guardian.watches(&child);
        let base = loop {
            let printed = fs::read_to_string(&out).unwrap();
            if let Some(base) = printed.split_once("ready on ").and_then(|(_, rest)| rest.split_once('\n')) {
                break base.0.trim_end_matches(['/', '.']).to_owned();
            }
            if child.try_wait().unwrap().is_some() {
                self.guardian.gone(child.id());
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        *self.base.write().unwrap() = base;
        *self.child.lock().unwrap() = Some(child);
        true
    }

    /// Where it is now.
    pub(super) fn base(&self) -> String {
        self.base.read().unwrap().clone()
    }

    /// Its files.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// What it logged, over all starts.
    pub(super) fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn last_told(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// SIGKILL.
    pub(super) fn dies(&self) {
        let mut child = self.child.lock().unwrap().take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
        self.guardian.gone(child.id());
    }

    /// SIGTERM, and waits.
    pub(super) fn ends(&self) {
        self.signal("-TERM");
        let mut child = self.child.lock().unwrap().take().expect("it runs");
        child.wait().unwrap();
        self.guardian.gone(child.id());
    }

    /// A signal by its name.
    pub(super) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid()]).status().unwrap().success());
    }

    /// No file of it may grow beyond so many bytes; `None`: any may.
    pub(super) fn limits_files(&self, bytes: Option<u32>) {
        limit_files(&self.pid(), bytes);
    }

    fn pid(&self) -> String {
        self.child.lock().unwrap().as_ref().expect("it runs").id().to_string()
    }
}

/// No file of that process may grow beyond so many bytes: as on a full disk, a write fails. `None`: any may.
pub(super) fn limit_files(pid: &str, bytes: Option<u32>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    // A process may have ended meanwhile.
    let _ = Command::new("prlimit").args(["--pid", pid, &format!("--fsize={soft}:")]).stderr(Stdio::null()).status();
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.lock().unwrap().is_some() {
            self.dies();
        }
    }
}
