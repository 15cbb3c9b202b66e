//! The whole corpus, on every run: what a search has found once is never lost again.

#![allow(clippy::expect_used, reason = "a test fails by panicking, its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};

use regrant_fuzz::{Made, TARGETS, Target};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("names are UTF-8");
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("it can be listed"))).collect();
    names.sort();
    names
}

fn replays(target: &Target) {
    let folder = corpus().join(target.name);
    let (mut something, mut nothing) = (0, 0);
    for name in names(&folder) {
        println!("{}/{name}", target.name);
        let data = fs::read(folder.join(&name)).expect("it can be read");
        match (target.read)(&data) {
            Made::Something => something += 1,
            Made::Nothing => nothing += 1,
        }
    }
    // A corpus that is only refused, or only taken, has lost what it is for.
    assert!(something > 0 && nothing > 0, "{}: {something} taken, {nothing} refused", target.name);
}

macro_rules! replays {
    ($($name:ident),+) => {
        $(#[test]
        fn $name() {
            replays(regrant_fuzz::target(stringify!($name)).expect("a target"));
        })+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

replays!(
    access_jwt,
    bare,
    body,
    configuration,
    form,
    head,
    labelled,
    opaque_access,
    opaque_refresh,
    password_hash,
    refresh_jwt,
    users_file
);

#[test]
fn every_target_has_a_corpus_and_is_replayed() {
    let mut targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort_unstable();
    assert_eq!(targets, REPLAYED);
    assert_eq!(targets, names(&corpus()));
}
