//! The `regrant` binary as a process, in a folder of its own, and a client that needs no library.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes on a slow machine.
pub(super) const LONG: Duration = Duration::from_mins(1);

/// The binary, which `tests/run` builds beside the tests.
pub(super) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("regrant");
    assert!(
        binary.is_file(),
        "{} is missing: run tests/run, or `cargo build -p regrant --bin regrant` first",
        binary.display()
    );
    binary
}

/// A folder to run in.
pub(super) struct Place(tempfile::TempDir);

/// What a command came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(args, &[], "")
    }

    /// Runs a command to its end, with these variables and this input.
    pub(super) fn run_with(&self, args: &[&str], variables: &[(&str, &str)], input: &str) -> Outcome {
        let mut command = self.command(args);
        command.envs(variables.iter().copied()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Whether it reads its input is its own affair.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().expect("not killed by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must fail, and answers what it says. It says so in sentences.
    #[track_caller]
    pub(super) fn refused(&self, args: &[&str], code: i32) -> String {
        let Outcome { code: got, out, err } = self.run(args);
        assert_eq!(got, code, "{out}{err}");
        assert!(err.starts_with("regrant: "), "{err}");
        for noise in ["panicked", "RUST_BACKTRACE", "Os {", "Error(", "Err(", "Some(", "{:?}"] {
            assert!(!err.contains(noise), "{err}");
        }
        assert!(!out.contains("ready on"), "{out}");
        err
    }

    /// Serves on a free port until it is dropped or stopped.
    #[track_caller]
    pub(super) fn serve(&self, args: &[&str]) -> Serving {
        let mut command = self.command(args);
        command.args(["--listen", "127.0.0.1:0"]);
        Serving::start(command)
    }
}

/// Lines as they come, read by a thread of its own so that the process never waits for a reader.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
    receiver
}

/// A process that serves.
pub(super) struct Serving {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    /// What it printed before it was ready.
    pub(super) greeting: String,
    /// Where it listens, as it says.
    pub(super) endpoint: String,
    /// The same, where it is an address.
    pub(super) addr: SocketAddr,
}

impl Serving {
    /// Runs the command until it is ready.
    #[track_caller]
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let (greeting, endpoint, addr) = (String::new(), String::new(), ([0, 0, 0, 0], 0).into());
        let mut serving = Self { child, out, err, greeting, endpoint, addr };
        loop {
            let Ok(line) = serving.out.recv_timeout(LONG) else {
                let told: Vec<_> = serving.err.iter().collect();
                panic!("it did not get ready: {}", told.join("\n"));
            };
            if let Some(endpoint) = line.strip_prefix("Regrant is ready on ") {
                endpoint.clone_into(&mut serving.endpoint);
                if let Some((_, addr)) = endpoint.split_once("://") {
                    serving.addr = addr.parse().unwrap();
                }
                return serving;
            }
            serving.greeting.push_str(&line);
            serving.greeting.push('\n');
        }
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; answers how it ended and what it logged.
    pub(super) fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let log: Vec<_> = self.err.iter().collect();
        (status, log.join("\n"))
    }

    /// Asks it to stop, and waits.
    pub(super) fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own: the status, and everything after the head.
pub(super) fn request(addr: SocketAddr, method: &str, path: &str, bearer: Option<&str>, json: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let bearer = bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = match json {
        "" => String::new(),
        json => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len()),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{bearer}{body}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(json.as_bytes()).unwrap();
    answer(&mut stream)
}

/// Reads an answer to the end of the connection.
pub(super) fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.unwrap_or_else(|| panic!("no answer: {text:?}")), body.unwrap_or_default())
}

/// A text member of a JSON object.
pub(super) fn member(json: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("{json}"));
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {json}")).to_owned()
}

pub(super) const ADA: &str = r#"{"email":"ada@example.org","password":"correct horse battery"}"#;

/// Signs somebody up and in; answers the refresh token.
pub(super) fn sign_in(addr: SocketAddr) -> String {
    assert_eq!(request(addr, "POST", "/api/users", None, ADA).0, 201);
    let (status, body) = request(addr, "POST", "/api/login", None, ADA);
    assert_eq!(status, 200, "{body}");
    member(&body, "refresh_token")
}

/// The mode of a file.
#[cfg(unix)]
pub(super) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
