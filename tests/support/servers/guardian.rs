//! Whoever starts servers must see to it that they go, even if the test process is killed: a small shell that holds the
//! other end of a pipe, and acts when the pipe breaks.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
pids=' '
while read -r what pid; do
  case $what in
    +) pids="$pids$pid " ;;
    -) pids=$(printf '%s' "$pids" | sed "s/ $pid / /") ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
rm -rf "$1"
"#;

/// Ends its wards and removes their folder when it is dropped, or when this process is gone.
pub(crate) struct Guardian {
    folder: PathBuf,
    shell: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guardian {
    /// With a new temporary folder.
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("regrant-{name}-")).tempdir().unwrap().keep();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = Mutex::new(shell.stdin.take());
        Self { folder, shell, pipe }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server that is to go with us. Its output goes nowhere: let it write a log into the folder.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let child =
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.tell('+', child.id());
        Ok(child)
    }

    /// That one, which somebody else has started, is to go with us as well.
    pub(crate) fn watches(&self, child: &Child) {
        self.tell('+', child.id());
    }

    /// It has been waited for; its number may be somebody else's by now.
    pub(crate) fn gone(&self, pid: u32) {
        self.tell('-', pid);
    }

    fn tell(&self, what: char, pid: u32) {
        if let Some(pipe) = &mut *self.pipe.lock().unwrap_or_else(PoisonError::into_inner) {
            writeln!(pipe, "{what} {pid}").unwrap();
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.shell.wait();
    }
}
