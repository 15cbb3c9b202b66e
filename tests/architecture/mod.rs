//! The house: its arrows, and the lists that must be complete.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as the tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a source file may not mention, and why.
struct Ban {
    /// Files below here…
    below: &'static str,
    /// …except those below here…
    except: &'static [&'static str],
    /// …do not mention this.
    word: &'static str,
}

const BANS: &[Ban] = &[
    // Domain: usecases → decide → types, usecases → ports; decide sees no port.
    Ban { below: "domain/src/decide", except: &[], word: "crate::ports" },
    Ban { below: "domain/src", except: &["domain/src/usecases", "domain/src/lib.rs"], word: "usecases::" },
    Ban {
        below: "domain/src",
        except: &[
            "domain/src/usecases",
            "domain/src/lib.rs",
            "domain/src/testing.rs",
            "domain/src/ports.rs",
            "domain/src/time.rs",
        ],
        word: "crate::ports",
    },
    Ban { below: "domain/src", except: &[], word: "regrant_adapters" },
    Ban { below: "domain/src", except: &[], word: "std::fs" },
    Ban { below: "domain/src", except: &[], word: "std::net" },
    Ban { below: "domain/src", except: &[], word: "std::time::Instant" },
    Ban { below: "domain/src", except: &[], word: "SystemTime" },
    Ban { below: "domain/src", except: &[], word: "tracing" },
    // Adapters: inbound and outbound never meet.
    Ban { below: "adapters/src/inbound", except: &[], word: "crate::outbound" },
    Ban { below: "adapters/src/outbound", except: &[], word: "crate::inbound" },
    Ban { below: "adapters/src/inbound", except: &[], word: "sqlx" },
    Ban { below: "adapters/src/outbound", except: &[], word: "axum" },
    // Only outbound/system asks for time or randomness.
    Ban { below: "adapters/src", except: &["adapters/src/outbound/system.rs"], word: "SystemTime::now" },
    // (A signature names a generator; the cryptographic library uses its own in any case.)
    Ban {
        below: "adapters/src",
        except: &["adapters/src/outbound/system.rs", "adapters/src/outbound/jwt/key.rs"],
        word: "rand::",
    },
    Ban { below: "app/src", except: &[], word: "SystemTime::now" },
    Ban { below: "app/src", except: &[], word: "rand::" },
    // Only app/compose names concrete adapters.
    Ban { below: "app/src", except: &["app/src/compose"], word: "regrant_adapters::outbound" },
];

/// Outbound modules that know no adapter and may be shared by several.
const SHARED: &[&str] = &["sql", "together"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap_or_else(|e| panic!("{}: {e}", below.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Path from the root, and the code without comments.
fn sources(below: &str) -> Vec<(String, String)> {
    let root = root();
    let files = rust_files(&root.join(below.split('/').take(2).collect::<PathBuf>()));
    let named = files.into_iter().map(|path| (path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), path));
    named
        .filter(|(name, _)| name.starts_with(below))
        .map(|(name, path)| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, code.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

#[test]
fn the_arrows_point_inwards() {
    let mut faults = Vec::new();
    for ban in BANS {
        for (name, code) in sources(ban.below) {
            if !ban.except.iter().any(|except| name.starts_with(except)) && code.contains(ban.word) {
                faults.push(format!("{name} mentions {}", ban.word));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn outbound_siblings_do_not_import_each_other() {
    let all = sources("adapters/src/outbound");
    let sibling = |name: &str| name.split('/').nth(3).map(|s| s.trim_end_matches(".rs").to_owned()).unwrap();
    let siblings: BTreeSet<String> = all.iter().map(|(name, _)| sibling(name)).filter(|s| s != "mod").collect();
    assert!(siblings.len() >= 8, "{siblings:?}");
    let mut faults = Vec::new();
    for (name, code) in &all {
        let own = sibling(name);
        for other in siblings.iter().filter(|other| **other != own && !SHARED.contains(&other.as_str())) {
            if own != "mod" && code.contains(&format!("outbound::{other}")) {
                faults.push(format!("{name} imports {other}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_domain_depends_on_values_and_on_nothing_that_acts() {
    let manifest: toml::Table = fs::read_to_string(root().join("domain/Cargo.toml")).unwrap().parse().unwrap();
    let names: BTreeSet<&str> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
    let allowed = [
        "async-trait",
        "base64",
        "chrono",
        "hkdf",
        "hmac",
        "mockall",
        "sha2",
        "subtle",
        "thiserror",
        "uuid",
        "zeroize",
    ];
    assert_eq!(names, BTreeSet::from(allowed));
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let chrono = &workspace["workspace"]["dependencies"]["chrono"];
    assert_eq!(chrono["default-features"].as_bool(), Some(false), "chrono's clock must stay out");
    assert!(!chrono["features"].to_string().contains("clock"), "chrono's clock must stay out");
    let uuid = &workspace["workspace"]["dependencies"]["uuid"];
    assert!(!uuid["features"].to_string().contains('v'), "uuid must not make identifiers");
}

#[test]
fn adapters_and_app_depend_inwards() {
    let dependencies = |package: &str| -> BTreeSet<String> {
        let path = root().join(package).join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        let all = manifest["dependencies"].as_table().unwrap().keys();
        all.filter(|name| name.starts_with("regrant")).cloned().collect()
    };
    assert_eq!(dependencies("domain"), BTreeSet::new());
    assert_eq!(dependencies("adapters"), BTreeSet::from(["regrant-domain".into()]));
    assert_eq!(dependencies("app"), BTreeSet::from(["regrant-adapters".into(), "regrant-domain".into()]));
}

#[test]
fn files_stay_readable_in_one_sitting() {
    const LONGEST: usize = 450;
    let mut faults = Vec::new();
    for package in ["domain/src", "adapters/src", "app/src"] {
        for path in rust_files(&root().join(package)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > LONGEST {
                faults.push(format!("{} has {lines} lines", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_reason_code_is_documented_for_clients() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let missing: Vec<_> = regrant_domain::reason::Refusal::all()
        .map(regrant_domain::reason::Refusal::code)
        .filter(|code| !readme.contains(&format!("| `{code}` |")))
        .collect();
    assert!(missing.is_empty(), "the table of reasons in README.md lacks {missing:?}");
}
