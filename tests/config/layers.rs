//! Built-in values, then the file, then the environment, then flags; and printing what they come to.

use std::time::Duration;

use regrant::settings::{Database, LogFormat, RefreshFormat, Sources, Store, load};

use super::{faults, file, loaded, variables};

#[test]
fn without_any_source_the_built_in_values_are_those_of_the_design() {
    let settings = load(&Sources::default()).unwrap().settings;
    let day = Duration::from_hours(24);
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.store, Store::Database(Database::Sqlite { file: "./data/regrant.db".into() }));
    assert_eq!(settings.policies.access.ttl, Duration::from_hours(1));
    assert_eq!(settings.refresh_format, RefreshFormat::Labelled);
    assert_eq!(settings.policies.refresh.ttl, 60 * day);
    assert!(settings.policies.refresh.rotate && !settings.policies.refresh.strict);
    assert_eq!(settings.policies.refresh.replay_window, Duration::from_secs(30));
    assert_eq!(settings.policies.session.max_age, 365 * day);
    assert_eq!(settings.policies.session.max_per_user, None);
    assert_eq!(settings.policies.password.min_length, 8);
    assert_eq!(settings.sweep.every, Some(Duration::from_mins(10)));
    assert_eq!(settings.sweep.retention, 30 * day);
    assert_eq!(settings.history_retention(), 90 * day);
    assert_eq!(settings.keys.signing_key.path, std::path::Path::new("./data/access-es256.pem"));
    assert_eq!(settings.keys.token_key.path, std::path::Path::new("./data/token.key"));
}

#[test]
fn a_later_layer_wins() {
    let listen = |sources: &Sources| load(sources).unwrap().settings.server.listen.to_string();
    let mut sources = Sources::default();
    assert_eq!(listen(&sources), "127.0.0.1:8080");
    sources.file = file("[server]\nlisten = \"127.0.0.1:1\"\n").file;
    assert_eq!(listen(&sources), "127.0.0.1:1");
    sources.variables = variables(&[("REGRANT__SERVER__LISTEN", "127.0.0.1:2")]);
    assert_eq!(listen(&sources), "127.0.0.1:2");
    sources.flags = vec![("--listen", "server.listen", "127.0.0.1:3".into())];
    assert_eq!(listen(&sources), "127.0.0.1:3");
}

#[test]
fn a_faulty_value_that_a_later_layer_replaces_does_no_harm() {
    let sources =
        Sources { variables: variables(&[("REGRANT__LOG__FORMAT", "json")]), ..file("[log]\nformat = \"xml\"\n") };
    assert_eq!(load(&sources).unwrap().settings.log.format, LogFormat::Json);
}

#[test]
fn the_environment_can_set_keys_of_every_type() {
    let sources = Sources {
        variables: variables(&[
            ("REGRANT__REFRESH_TOKEN__ROTATE", "false"),
            ("REGRANT__SESSION__MAX_PER_USER", "3"),
            ("REGRANT__REFRESH_TOKEN__TTL", "90s"),
            ("REGRANT__ACCESS_TOKEN__ISSUER", "12"),
        ]),
        ..Sources::default()
    };
    let settings = load(&sources).unwrap().settings;
    assert!(!settings.policies.refresh.rotate);
    assert_eq!(settings.policies.session.max_per_user.map(std::num::NonZero::get), Some(3));
    assert_eq!(settings.policies.refresh.ttl, Duration::from_secs(90));
    let issuer = settings.access_token.issuer;
    assert_eq!(issuer, "12");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let sources = Sources { variables: vec![("REGRANT__DATA__DIR".into(), broken)], ..Sources::default() };
    let told = load(&sources).map(|_| ()).unwrap_err();
    assert!(told.to_string().contains("its value is not UTF-8 text"), "{told}");
}

#[test]
fn what_is_shown_can_be_fed_back_and_says_where_each_value_comes_from() {
    let sources = Sources {
        variables: variables(&[("REGRANT__REFRESH_TOKEN__STRICT", "true")]),
        flags: vec![("--data", "data.dir", "da\"ta # dir\\".into())],
        ..file("[session]\nmax_per_user = 7\n[access_token]\nissuer = '''a\n\"b\"'''\n")
    };
    let first = load(&sources).unwrap();
    let shown = first.show();
    let second = loaded(&shown);
    assert_eq!(format!("{:?}", first.settings), format!("{:?}", second.settings));
    assert!(shown.contains("strict = true  # environment variable REGRANT__REFRESH_TOKEN__STRICT\n"), "{shown}");
    assert!(shown.contains("max_per_user = 7  # regrant.toml, line 2\n"), "{shown}");
    assert!(shown.contains("when_full = \"end_oldest\"\n"), "{shown}");
    let again: toml::Table = shown.parse().unwrap();
    let built_in: toml::Table = regrant::settings::BUILT_IN.parse().unwrap();
    assert_eq!(again.keys().collect::<Vec<_>>(), built_in.keys().collect::<Vec<_>>());
}

#[test]
fn the_built_in_configuration_is_shown_as_it_is() {
    assert_eq!(load(&Sources::default()).unwrap().show(), regrant::settings::BUILT_IN);
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, [b'#', 0xff]).unwrap();
    for path in [folder.path().join("none.toml"), folder.path().to_owned(), broken] {
        let file = regrant::settings::File::Path(path.clone());
        let told = load(&Sources { file: Some(file), ..Sources::default() }).map(|_| ()).unwrap_err();
        let told = told.to_string();
        assert!(told.contains(path.to_str().unwrap()) && told.contains("cannot be read"), "{told}");
    }
}

#[test]
fn the_static_configuration_is_complete_and_differs_where_it_says() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/static.toml")).unwrap();
    let settings = loaded(&text).settings;
    assert_eq!(settings.refresh_format, RefreshFormat::Bare);
    assert!(!settings.policies.refresh.rotate);
    assert_eq!(settings.policies.refresh.ttl, Duration::from_hours(24 * 60));
    let names = |text: &str| {
        let table: toml::Table = text.parse().unwrap();
        let keys = |(section, keys): (&String, &toml::Value)| {
            keys.as_table().unwrap().keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
        };
        table.iter().flat_map(keys).collect::<Vec<_>>()
    };
    assert_eq!(names(&text), names(regrant::settings::BUILT_IN));
    assert!(faults(&text.replace("rotate = false", "rotate = true")).to_string().contains("cannot rotate"));
}
