//! The complete configuration files, and the lists that must agree with the stores.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regrant::settings::{Ack, Database, File, LimitState, POSTGRES_RISKS, REDIS_RISKS, Settings, Sources, Store, load};
use regrant_adapters::outbound::{postgres, redis};
use regrant_domain::limit::Limit;

use super::process::Place;
use super::variables;

const FILES: [&str; 7] = ["static", "opaque", "jwt", "postgres", "redis", "redis-cluster", "redis-sentinel"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config")).join(format!("{name}.toml"))
}

fn settings(name: &str, environment: &[(&str, &str)]) -> Settings {
    let file = Some(File::Path(path(name)));
    let sources = Sources { file, variables: variables(environment), ..Sources::default() };
    load(&sources).unwrap_or_else(|faults| panic!("{name}: {faults}")).settings
}

#[test]
fn each_passes_the_check_and_holds_every_key() {
    let keys = |text: &str| -> BTreeSet<String> {
        let table: toml::Table = text.parse().unwrap();
        let sections = table.iter();
        sections.flat_map(|(s, keys)| keys.as_table().unwrap().keys().map(move |key| format!("{s}.{key}"))).collect()
    };
    let all = keys(regrant::settings::BUILT_IN);
    for name in FILES {
        assert_eq!(keys(&std::fs::read_to_string(path(name)).unwrap()), all, "{name}");
        let told = Place::new().run(&["config", "check", "--config", path(name).to_str().unwrap()]);
        assert_eq!((told.code, told.out.as_str()), (0, "The configuration is fine.\n"), "{name}: {}", told.err);
    }
}

#[test]
fn none_holds_a_password_and_each_is_what_its_name_says() {
    for name in FILES {
        let text = std::fs::read_to_string(path(name)).unwrap();
        let values = text.lines().filter(|line| line.starts_with("url ="));
        for url in values {
            let place = url.split_once("://").map_or("", |(_, place)| place);
            let user = place.rsplit_once('@').map_or("", |(user, _)| user);
            assert!(!user.contains(':'), "{name}: {url}");
        }
    }
    assert!(matches!(settings("postgres", &[]).store, Store::Database(Database::Postgres(_))));
    let users = |name| match settings(name, &[]).store {
        Store::Redis { sessions, users } => (sessions.ack, users),
        other @ Store::Database(_) => panic!("{other:?}"),
    };
    assert!(matches!(users("redis"), (Ack::None, Database::Sqlite { .. })));
    assert!(matches!(users("redis-cluster"), (Ack::Replicas(1), Database::Postgres(_))));
    assert!(matches!(users("redis-sentinel"), (Ack::Replicas(1), Database::Postgres(_))));
}

#[test]
fn the_password_comes_from_the_environment_or_a_file_and_is_never_printed() {
    let url = "postgres://regrant:hunter2@db/regrant";
    let chosen = settings("postgres", &[("REGRANT__STORE__URL", url)]);
    let Store::Database(Database::Postgres(postgres)) = &chosen.store else { panic!("{:?}", chosen.store) };
    assert_eq!(postgres.url.expose(), url);
    assert!(!format!("{chosen:?}").contains("hunter2"), "{chosen:?}");
    assert_eq!(postgres.url.to_string(), "postgres://regrant:********@db/regrant");

    let place = Place::new();
    place.write("url", &format!("{url}\n"));
    place.write("regrant.toml", "[store]\nkind = \"postgres\"\nurl_file = \"url\"\n");
    let shown = place.run(&["config", "show", "--config", "regrant.toml"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(
        shown.out.contains("url_file = \"url\"  # regrant.toml") && !shown.out.contains("hunter2"),
        "{}",
        shown.out
    );
    place.write("regrant.toml", "[store]\nkind = \"postgres\"\nurl_file = \"url\"\nurl = \"postgres://x/y\"\n");
    let told = place.refused(&["config", "check", "--config", "regrant.toml"], 2);
    assert!(told.contains("store.url_file") && told.contains("one of the two"), "{told}");
}

#[test]
fn limits_are_counted_where_all_processes_see_them_unless_the_operator_says_otherwise() {
    for name in FILES {
        let shared = !["static", "opaque", "jwt"].contains(&name);
        let state = if shared { LimitState::Store } else { LimitState::Memory };
        assert_eq!(settings(name, &[]).limits.state, state, "{name}");
        assert_eq!(settings(name, &[("REGRANT__LIMITS__STATE", "memory")]).limits.state, LimitState::Memory);
    }
    let chosen = settings("static", &[("REGRANT__LIMITS__SIGN_IN_BY_ADDRESS", "0")]).limits.policy;
    assert_eq!(chosen.rate(Limit::SignInByAddress), None);
    assert!(Limit::ALL.iter().filter(|limit| chosen.rate(**limit).is_some()).count() == Limit::ALL.len() - 1);
    for limit in Limit::ALL {
        assert!(regrant::settings::BUILT_IN.contains(&format!("\n{} = ", limit.code())), "{limit:?} has its setting");
    }
}

#[test]
fn what_proxies_say_is_believed_as_far_as_it_is_chosen() {
    let by_default = settings("static", &[]).server.forwarded;
    assert!(by_default.trusted.is_empty() && !by_default.trusts_local && !by_default.standard);
    let proxies =
        [("REGRANT__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, unix"), ("REGRANT__SERVER__FORWARDED_HEADER", "forwarded")];
    let chosen = settings("postgres", &proxies).server.forwarded;
    assert_eq!(chosen.trusted, ["10.0.0.0/8".parse().unwrap()]);
    assert!(chosen.trusts_local && chosen.standard);
}

#[test]
fn lists_come_from_variables_with_commas_between() {
    let chosen = settings("redis", &[("REGRANT__STORE__ALLOW", "eviction, old_server")]);
    let Store::Redis { sessions, .. } = chosen.store else { panic!("{:?}", chosen.store) };
    assert_eq!(sessions.allow, ["eviction", "old_server"]);
    let place = Place::new();
    let (config, variable) = (path("redis"), [("REGRANT__STORE__ALLOW", "eviction")]);
    let shown = place.run_with(&["config", "show", "--config", config.to_str().unwrap()], &variable, "");
    assert!(shown.out.contains("allow = [\"eviction\"]  # environment variable"), "{}{}", shown.out, shown.err);
}

#[test]
fn the_names_of_allowed_risks_are_those_of_the_stores() {
    assert_eq!(postgres::Risk::ALL.map(postgres::Risk::name), POSTGRES_RISKS);
    assert_eq!(redis::RedisAllowance::ALL.map(redis::RedisAllowance::name), REDIS_RISKS);
    for name in POSTGRES_RISKS.iter().chain(&REDIS_RISKS) {
        assert!(regrant::settings::BUILT_IN.contains(&format!("\"{name}\"")), "{name} is not documented");
    }
}

#[test]
fn what_contradicts_between_stores_and_users_is_told() {
    for (text, key, wrong) in [
        ("[store]\nkind = \"postgres\"\n", "store.url", "it is empty"),
        ("[store]\nkind = \"postgres\"\nurl = \"redis://me:hunter2@a\"\n", "store.url", "another kind of store"),
        ("[store]\nkind = \"redis\"\nurl = \"redis://a\"\n", "users.kind", "it is empty"),
        ("[store]\nkind = \"redis\"\nurl = \"redis://a\"\n[users]\nkind = \"memory\"\n", "users.kind", "\"memory\""),
        ("[store]\nkind = \"redis\"\nurl = \"redis://a\"\n[users]\nkind = \"postgres\"\n", "users.url", "it is empty"),
        (
            "[store]\nkind = \"redis\"\nurl = \"redis://a\"\nack = \"aof\"\nack_timeout = \"2s\"\n[users]\nkind = \
             \"sqlite\"\n",
            "store.ack_timeout",
            "given up before",
        ),
        (
            "[store]\nkind = \"postgres\"\nurl = \"postgres://a/b\"\nallow = [\"eviction\"]\n",
            "store.allow",
            "not known",
        ),
        ("[users]\nkind = \"sqlite\"\nurl = \"sqlite:users.db\"\n", "users.url", "another place"),
    ] {
        let told = super::faults(text).0;
        let [fault] = told.as_slice() else { panic!("{text}: {told:?}") };
        assert_eq!(fault.key, key, "{text}");
        assert!(fault.wrong.contains(wrong), "{text}: {fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }
    super::loaded("[users]\nkind = \"sqlite\"\n");
}

#[test]
fn a_store_that_cannot_be_reached_is_told_without_its_password() {
    for (kind, url, users) in [
        ("postgres", "postgres://me:hunter2@127.0.0.1:1/regrant", ""),
        ("redis", "redis://me:hunter2@127.0.0.1:1/0", "[users]\nkind = \"sqlite\"\n"),
        ("redis", "redis+cluster://me:hunter2@127.0.0.1:1", "[users]\nkind = \"sqlite\"\n"),
    ] {
        let place = Place::new();
        place.write("regrant.toml", &format!("[store]\nkind = \"{kind}\"\nurl = \"{url}\"\n{users}"));
        // Some drivers log a warning of their own before.
        let outcome = place.run(&["--config", "regrant.toml", "--listen", "127.0.0.1:0"]);
        let told = outcome.err;
        assert_eq!(outcome.code, 1, "{told}");
        assert!(told.contains("regrant: the store ") && !told.contains("panicked"), "{told}");
        assert!(told.contains("(store.url) cannot be used") && told.contains("what to do: "), "{told}");
        assert!(told.contains("me:********@127.0.0.1:1") && !told.contains("hunter2"), "{told}");
        assert!(!place.path("data/token.key").exists());
    }
}

/// What stands under config/deploy, as text, with its name.
fn deployed() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/deploy");
    let files = std::fs::read_dir(&folder).unwrap().flat_map(|kind| std::fs::read_dir(kind.unwrap().path()).unwrap());
    let read =
        |file: std::fs::DirEntry| (file.path().display().to_string(), std::fs::read_to_string(file.path()).unwrap());
    files.map(|file| file.unwrap()).filter(|file| file.path().is_file()).map(read).collect()
}

#[test]
fn the_variables_of_containers_are_keys_that_there_are() {
    let known: toml::Table = regrant::settings::BUILT_IN.parse().unwrap();
    let mut seen = 0;
    for (file, text) in deployed() {
        for variable in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let Some(key) = variable.strip_prefix("REGRANT__") else { continue };
            let (section, name) = key.split_once("__").unwrap_or_else(|| panic!("{file}: {variable}"));
            let known = known.get(&section.to_lowercase()).and_then(|keys| keys.get(name.to_lowercase()));
            assert!(known.is_some(), "{file}: {variable}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn compose_files_are_yaml_whose_services_are_confined_and_told_no_secret() {
    for name in ["postgres.yml", "redis-cluster.yml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/deploy/compose").join(name);
        let mut file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        file.apply_merge().unwrap();
        let ours = &file["services"]["regrant"];
        assert_eq!(ours["read_only"], true);
        assert_eq!(ours["cap_drop"][0], "ALL");
        assert_eq!(ours["ports"][0], "127.0.0.1:8080:8080");
        let (services, volumes) = (file["services"].as_mapping().unwrap(), file["volumes"].as_mapping().unwrap());
        for (service, is) in services {
            assert!(is.get("image").is_some() != is.get("build").is_some(), "{service:?}");
            for other in is.get("depends_on").and_then(|other| other.as_mapping()).into_iter().flatten() {
                assert!(services.contains_key(other.0), "{name}: {service:?} depends on {other:?}");
            }
            for volume in is.get("volumes").and_then(|volumes| volumes.as_sequence()).into_iter().flatten() {
                let (volume, _) = volume.as_str().unwrap().split_once(':').unwrap();
                assert!(volumes.contains_key(volume), "{name}: {volume}");
            }
            for secret in is.get("secrets").and_then(|secrets| secrets.as_sequence()).into_iter().flatten() {
                assert!(file["secrets"].get(secret).is_some(), "{name}: {secret:?}");
            }
            let variables = is.get("environment").and_then(|variables| variables.as_mapping()).into_iter().flatten();
            for (variable, _) in variables {
                let variable = variable.as_str().unwrap();
                let secret = variable.contains("PASSWORD") || variable.ends_with("URL");
                let tells = is["environment"][variable].as_str().unwrap();
                assert!(!secret || variable.ends_with("_FILE") || !tells.contains('@'), "{name}: {variable}");
            }
        }
    }
}
