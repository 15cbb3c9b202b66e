//! Programs of other people that check access tokens beside the tests, with the published keys.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde_json::Value;

use super::root;
use super::systems::client;

/// One that runs.
pub(super) struct Verifier {
    pub(super) name: &'static str,
    child: Child,
    tokens: Sender<String>,
    verdicts: JoinHandle<Verdicts>,
}

/// What it came to.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// How many tokens of each key were good.
    pub(super) good: BTreeMap<String, usize>,
    /// What was wrong with the others.
    pub(super) wrong: Vec<String>,
}

impl Verifier {
    /// `PyJWKClient`, which fetches the keys again when it meets one that it does not know.
    pub(super) fn pyjwt(base: &str, kept: u32) -> Self {
        Self::start("PyJWKClient", &mut python("client", base, kept))
    }

    /// Fetches the keys every so often, and at no other time.
    pub(super) fn polling(base: &str, kept: u32) -> Self {
        Self::start("polling", &mut python("poll", base, kept))
    }

    /// `createRemoteJWKSet`, which fetches the keys again when it meets one that it does not know, but not soon.
    pub(super) fn jose(base: &str, kept: u32) -> Self {
        let mut node = Command::new("node");
        node.arg(root().join("tests/clients/verify_all.mjs")).arg(client("node")).arg(kept.to_string());
        Self::start("jose", node.args([base, "regrant", "regrant"]))
    }

    fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tokens, queue): (Sender<String>, Receiver<String>) = channel();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().unwrap().unwrap(), "ready", "{name}");
        std::thread::spawn(move || queue.iter().try_for_each(|token| writeln!(input, "{token}")));
        let verdicts = std::thread::spawn(move || {
            let mut verdicts = Verdicts::default();
            for line in output.map_while(Result::ok) {
                let verdict: Value = serde_json::from_str(&line).unwrap();
                let kid = verdict["kid"].as_str().unwrap().to_owned();
                match verdict["wrong"].as_str() {
                    None => *verdicts.good.entry(kid).or_default() += 1,
                    Some(wrong) => verdicts.wrong.push(format!("{kid}: {wrong}")),
                }
            }
            verdicts
        });
        Self { name, child, tokens, verdicts }
    }

    /// Where to send tokens.
    pub(super) fn tokens(&self) -> Sender<String> {
        self.tokens.clone()
    }

    /// Waits until it has checked every token; nobody may be able to send more.
    pub(super) fn ends(mut self) -> Verdicts {
        drop(self.tokens);
        let verdicts = self.verdicts.join().unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
        verdicts
    }
}

fn python(how: &str, base: &str, kept: u32) -> Command {
    let mut python = Command::new("python3");
    python.arg(root().join("tests/clients/verify_all.py")).args([how, &kept.to_string(), base, "regrant", "regrant"]);
    python.env("PYTHONPATH", client("python")).env("no_proxy", "*");
    python
}
