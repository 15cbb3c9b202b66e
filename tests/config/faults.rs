//! Every fault is told, at once, with its key, its origin, what is wrong and what is accepted.

use regrant::settings::{Fault, Sources, load};

use super::{faults, file, variables};

/// A file with one fault: `section.key`, the value as written, what is said to be wrong, what is said to be accepted.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("server.listen", "\"localhost\"", "\"localhost\" cannot be used", "an IP address and a port"),
    ("server.listen", "\"127.0.0.1:99999\"", "cannot be used", "an IP address and a port"),
    ("server.listen", "8080", "found the number 8080", "text in quotation marks"),
    ("server.listen", "\"\"", "cannot be used", "\"127.0.0.1:8080\""),
    ("server.listen", "[\"127.0.0.1:8080\"]", "found a list", "text in quotation marks"),
    ("server.listen", "{ port = 1 }", "found a table", "a single value"),
    ("server.listen", "2026-11-21", "found a date or time", "text in quotation marks"),
    ("server.admin_listen", "\"9090\"", "cannot be used", "an IP address and a port"),
    ("server.listen", "\"unix:\"", "the path is missing", "unix:/run/regrant/http.sock"),
    ("server.listen", "\"systemd:\"", "the name is missing", "\"systemd\""),
    ("server.unix_mode", "\"rw\"", "not three octal digits", "\"0660\""),
    ("server.unix_mode", "\"1777\"", "not three octal digits", "\"0660\""),
    ("server.tls_certificate", "\"cert.pem\"", "server.tls_key is empty", "or neither"),
    ("server.tls_key", "\"key.pem\"", "server.tls_certificate is empty", "or neither"),
    ("server.docs", "\"no\"", "found the text \"no\"", "true or false"),
    ("server.request_timeout", "\"0s\"", "\"0s\" is too short", "from 1s to 10m"),
    ("server.request_timeout", "\"11m\"", "\"11m\" is too long", "from 1s to 10m"),
    ("server.request_timeout", "30", "found the number 30", "a duration such as"),
    ("server.request_timeout", "\"30\"", "the unit is missing", "a duration such as"),
    ("server.request_timeout", "\"half an hour\"", "it does not begin with a number", "\"15m\""),
    ("server.request_timeout", "\"1.5m\"", "the unit must be s, m, h or d", "\"90s\""),
    ("server.request_timeout", "true", "found true", "a duration such as"),
    ("server.body_limit", "1023", "1023 is out of range", "from 1024 to 16777216"),
    ("server.body_limit", "-1", "-1 is out of range", "from 1024 to 16777216"),
    ("server.body_limit", "1e400", "found the number", "a whole number"),
    ("server.body_limit", "99999999999999999999", "found a number that is too large", "a whole number"),
    ("server.body_limit", "\"64 KiB\"", "found the text \"64 KiB\"", "a whole number"),
    ("server.body_memory", "1048575", "1048575 is out of range", "from 1048576 to 1073741824"),
    ("server.trusted_proxies", "\"10.0.0.0/8\"", "found the text", "a list of texts"),
    ("server.trusted_proxies", "[\"10.1.2.3/8\"]", "did you mean 10.0.0.0/8?", "[\"10.0.0.0/8\", \"2001:db8::1\"]"),
    (
        "server.trusted_proxies",
        "[\"unix\", \"proxy.internal\"]",
        "\"proxy.internal\" cannot be used",
        "addresses and ranges",
    ),
    ("server.forwarded_header", "\"both\"", "\"both\" is not known", "\"x-forwarded-for\" or \"forwarded\""),
    ("server.hsts", "\"731d\"", "is too long", "from 0s to 730d"),
    ("server.max_connections", "0", "0 is out of range", "from 1 to 100000"),
    ("limits.state", "\"redis\"", "\"redis\" is not known", "\"auto\", \"memory\" or \"store\""),
    ("limits.state", "\"store\"", "do not share", "\"auto\" or \"memory\""),
    ("limits.sign_in_by_address", "600", "found the number 600", "text in quotation marks"),
    ("limits.sign_up_by_address", "\"600\"", "there is no slash in it", "\"20/10m\", or \"0\" for no limit"),
    ("limits.password_by_account_and_address", "\"0/10m\"", "from 1 to 1000000", "a number and a time"),
    ("limits.password_by_account", "\"20/10\"", "the unit is missing", "a number and a time"),
    ("limits.refresh_by_address", "\"many/1m\"", "does not begin with a whole number", "a number and a time"),
    ("limits.refresh_by_session", "\"1/25h\"", "the time from 1s to 1d", "a number and a time"),
    ("limits.exempt", "[\"here\"]", "\"here\" cannot be used", "addresses and ranges"),
    ("cors.origins", "[\"https://app.example.org/\"]", "\"https://app.example.org/\" is none", "origins such as"),
    ("cors.origins", "[\"*\", \"https://a\"]", "others stand beside it", "\"*\" alone"),
    ("cors.methods", "[\"GET, POST\"]", "\"GET, POST\" is none", "methods such as"),
    ("cors.headers", "[\"X Y\"]", "\"X Y\" is none", "names of headers"),
    ("cors.exposed", "[\"\"]", "\"\" is none", "names of headers"),
    ("cors.credentials", "\"no\"", "found the text", "true or false"),
    ("cors.max_age", "\"2d\"", "is too long", "from 0s to 1d"),
    ("data.dir", "\"\"", "it is empty", "the path of a folder"),
    ("data.dir", "\"a\\u0000b\"", "a NUL character", "text"),
    ("store.kind", "\"sqlite3\"", "\"sqlite3\" is not known", "\"sqlite\", \"postgres\", \"redis\" or \"memory\""),
    ("store.kind", "\"SQLite\"", "\"SQLite\" is not known", "\"sqlite\", \"postgres\", \"redis\" or \"memory\""),
    ("store.kind", "1", "found the number 1", "\"sqlite\", \"postgres\", \"redis\" or \"memory\""),
    ("store.url", "\"postgres://me:hunter2@db/regrant\"", "it names another kind of store", "the path of a file"),
    ("store.url", "\"sqlite:\"", "it names no file", "the path of a file"),
    ("store.url", "\"sqlite::memory:\"", "store.kind = \"memory\"", "the path of a file"),
    ("store.url", "\"sqlite:x.db?mode=ro\"", "options after a question mark", "the path of a file"),
    ("store.url", "\"postgres://me:********@db\"", "hidden when the configuration was printed", "REGRANT__STORE__URL"),
    ("store.url_file", "\"/nowhere/url\"", "cannot be read", "a file with a URL"),
    ("store.max_connections", "0", "0 is out of range", "from 1 to 1000"),
    ("store.statement_timeout", "\"0s\"", "is too short", "from 1s to 1m"),
    ("store.response_timeout", "\"2m\"", "is too long", "from 1s to 1m"),
    ("store.ack", "\"all\"", "it is not known", "\"none\", \"replicas:N\", \"aof\" or \"aof:N\""),
    ("store.ack", "\"replicas\"", "the number of replicas is missing", "\"replicas:N\""),
    ("store.ack", "\"aof:101\"", "the number is out of range", "N from 1 to 100"),
    ("store.ack_timeout", "\"1\"", "the unit is missing", "from 1s to 1m"),
    ("store.prefix", "\"{a}\"", "it has other characters", "letters, digits"),
    ("store.prefix", "\"\"", "it is empty", "1 to 64"),
    ("store.allow", "\"fsync_off\"", "found the text", "a list of texts"),
    ("store.allow", "[1]", "a list of something else", "a list of texts"),
    ("store.allow", "[\"fsync_off\"]", "\"fsync_off\" is not known", "[] where store.kind is \"sqlite\""),
    ("users.kind", "\"postgres\"", "another kind than store.kind", "users live with the sessions"),
    ("users.kind", "\"redis\"", "\"redis\" is not known", "\"sqlite\", \"postgres\" or \"memory\""),
    ("users.url_file", "\"/nowhere/url\"", "cannot be read", "a file with a URL"),
    ("clock.check_every", "\"0s\"", "is too short", "from 1s to 1h"),
    ("clock.warn_above", "\"2h\"", "is too long", "from 1s to 1h"),
    ("users.url", "\"sqlite:users.db\"", "it is set, but users.kind is empty", "users.kind beside it"),
    ("users.sign_up_conflict", "\"lie\"", "\"lie\" is not known", "\"hide\" or \"tell\""),
    ("oauth.issuer_url", "\"auth.example.org\"", "cannot be used", "\"https://auth.example.org\""),
    ("oauth.issuer_url", "\"http://auth.example.org\"", "http:// is for this machine only", "https://"),
    ("oauth.issuer_url", "\"http://127.0.0.1.example.org\"", "http:// is for this machine only", "https://"),
    ("oauth.issuer_url", "\"https://auth.example.org/\"", "it ends with a slash", "without a slash"),
    ("oauth.issuer_url", "\"https://auth.example.org?a=b\"", "it has a query or a fragment", "https://"),
    ("oauth.issuer_url", "\"https://me@auth.example.org\"", "it holds a user name", "https://"),
    ("oauth.issuer_url", "\"https://\"", "it is not a URL", "https://"),
    ("oauth.issuer_url", "\"ftp://auth.example.org\"", "it does not begin with https://", "https://"),
    ("oauth.clients", "\"hunter2\"", "found text", "a list of texts"),
    ("oauth.clients", "[\"gateway:hunter2\"]", "entry 1 cannot be used: it is not of the form", "regrant client new"),
    ("oauth.clients", "[\"gateway:sha256:hunter2\"]", "the hash must be 64 hex characters", "regrant client new"),
    ("access_token.format", "\"paseto\"", "\"paseto\" is not known", "\"jwt\" or \"opaque\""),
    ("access_token.ttl", "\"0s\"", "is too short", "from 1s to 30d"),
    ("access_token.ttl", "\"31d\"", "is too long", "from 1s to 30d"),
    ("access_token.algorithm", "\"none\"", "\"none\" is not known", "\"ES256\", \"EdDSA\", \"RS256\" or \"HS256\""),
    ("access_token.algorithm", "\"es256\"", "\"es256\" is not known", "\"ES256\""),
    ("access_token.issuer", "1", "found the number 1", "text"),
    ("access_token.audience", "[\"a\", \"b\"]", "found a list", "text"),
    ("access_token.email_claim", "\"yes\"", "found the text \"yes\"", "true or false"),
    ("access_token.grace", "\"61s\"", "is too long", "from 0s to 1m"),
    ("refresh_token.format", "\"uuid\"", "is not known", "\"labelled\", \"bare\", \"opaque\" or \"jwt\""),
    ("refresh_token.remembered_ttl", "\"0s\"", "is too short", "from 1s to 3650d"),
    ("session.remembered_max_age", "\"3651d\"", "is too long", "from 1s to 3650d"),
    ("refresh_token.ttl", "\"0s\"", "is too short", "from 1s to 3650d"),
    ("refresh_token.ttl", "\"3651d\"", "is too long", "from 1s to 3650d"),
    ("refresh_token.rotate", "1", "found the number 1", "true or false"),
    ("refresh_token.replay_window", "\"301s\"", "is too long", "from 0s to 5m"),
    ("refresh_token.strict", "\"\"", "found the text", "true or false"),
    ("refresh_token.after_window", "\"ignore\"", "is not known", "\"end\" or \"reissue\""),
    ("refresh_token.on_rollback", "\"\"", "is not known", "\"heal\" or \"end\""),
    ("session.max_age", "\"0d\"", "is too short", "from 1s to 3650d"),
    ("session.max_per_user", "10001", "is out of range", "from 0 to 10000"),
    ("session.when_full", "\"end\"", "is not known", "\"end_oldest\", \"end_least_recent\" or \"deny\""),
    ("password.min_length", "0", "is out of range", "from 1 to 64"),
    ("password.min_length", "65", "is out of range", "from 1 to 64"),
    ("password.hash_threads", "257", "is out of range", "from 0 to 256"),
    ("password.hash_queue", "0.5", "found the number 0.5", "a whole number"),
    ("keys.signing_key", "\"token.key\"", "are one file", "two files"),
    ("keys.token_key", "\"access-es256.pem\"", "are one file", "two files"),
    ("keys.publish_before", "\"31d\"", "is too long", "from 1s to 30d"),
    ("keys.publish_before", "\"29s\"", "before every process and every verifier knows it", "twice keys.check_every"),
    ("keys.check_every", "\"0s\"", "is too short", "from 1s to 1h"),
    ("history.retention", "\"3651d\"", "is too long", "from 0s to 3650d"),
    ("sweep.every", "\"8d\"", "is too long", "from 0s to 7d"),
    ("sweep.retention", "\"x\"", "does not begin with a number", "from 0s to 3650d"),
    ("log.level", "\"loud\"", "is not known", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\""),
    ("telemetry.otlp_endpoint", "\"127.0.0.1:4318\"", "does not begin with http://", "an OTLP collector"),
    ("telemetry.otlp_endpoint", "\"https://collector\"", "TLS", "\"http://127.0.0.1:4318\""),
    ("telemetry.otlp_endpoint", "\"http://me:hunter2@collector\"", "it names a user", "an OTLP collector"),
    ("telemetry.otlp_endpoint", "\"http://collector/?a\"", "a question mark", "an OTLP collector"),
    ("telemetry.otlp_sampling", "1.5", "out of range", "from 0 to 1"),
    ("telemetry.otlp_sampling", "2", "out of range", "from 0 to 1"),
    ("telemetry.otlp_sampling", "\"all\"", "found the text \"all\"", "a number from 0 to 1"),
    ("log.format", "\"xml\"", "is not known", "\"human\" or \"json\""),
];

#[test]
fn each_fault_is_told_with_its_key_its_origin_and_what_is_accepted() {
    for (key, value, wrong, accepted) in TABLE {
        let (section, name) = key.split_once('.').unwrap();
        let told = faults(&format!("# a comment\n[{section}]\n{name} = {value}\n")).0;
        let [fault] = told.as_slice() else { panic!("{key} = {value}: {told:?}") };
        assert_eq!(fault.key, *key, "{value}");
        assert_eq!(fault.origin, "regrant.toml, line 3", "{key} = {value}");
        assert!(fault.wrong.contains(wrong), "{key} = {value}: {fault}");
        assert!(fault.accepted.contains(accepted), "{key} = {value}: {fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }
}

#[test]
fn every_key_that_can_be_wrong_is_in_the_table() {
    // Text of any kind: any value is accepted.
    let free = ["keys.dir"];
    // Ranges that the table holds by their neighbours.
    let alike = ["server.header_timeout", "server.shutdown_grace"];
    let built_in: toml::Table = regrant::settings::BUILT_IN.parse().unwrap();
    for (section, keys) in &built_in {
        for name in keys.as_table().unwrap().keys() {
            let key = format!("{section}.{name}");
            let held = TABLE.iter().any(|(held, ..)| *held == key);
            assert!(held || free.contains(&key.as_str()) || alike.contains(&key.as_str()), "{key}");
        }
    }
}

#[test]
fn what_contradicts_is_told() {
    let rotating = faults("[refresh_token]\nformat = \"bare\"\n").0;
    let [fault] = rotating.as_slice() else { panic!("{rotating:?}") };
    assert_eq!(fault.key, "refresh_token.rotate");
    assert!(fault.wrong.contains("cannot rotate") && fault.accepted.contains("rotate = false"), "{fault}");

    let stays = faults("[access_token]\nformat = \"opaque\"\n[refresh_token]\nrotate = false\n").0;
    let [fault] = stays.as_slice() else { panic!("{stays:?}") };
    assert_eq!(fault.key, "access_token.format");
    assert!(fault.wrong.contains("does not rotate") && fault.accepted.contains("rotate = true"), "{fault}");

    let scarce = faults("[server]\nbody_limit = 16777216\nbody_memory = 1048576\n").0;
    let [fault] = scarce.as_slice() else { panic!("{scarce:?}") };
    assert_eq!(fault.key, "server.body_memory");
    assert!(fault.wrong.contains("could never be read"), "{fault}");

    let open = faults("[cors]\norigins = [\"*\"]\ncredentials = true\n").0;
    let [fault] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!(fault.key, "cors.credentials");
    assert!(fault.wrong.contains("any page could act") && fault.accepted.contains("credentials = false"), "{fault}");

    let homeless = faults("[store]\nkind = \"redis\"\n").0;
    let told: Vec<_> = homeless.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(told, ["users.kind", "store.url"]);
    assert!(homeless[0].wrong.contains("store.kind is \"redis\""), "{}", homeless[0]);
    assert!(homeless[1].accepted.contains("redis+sentinel://"), "{}", homeless[1]);

    let somewhere = faults("[store]\nkind = \"memory\"\nurl = \"sqlite:x.db\"\n").0;
    assert_eq!(somewhere[0].key, "store.url");
}

#[test]
fn a_longer_idle_lifetime_than_the_absolute_one_is_no_fault() {
    super::loaded("[refresh_token]\nttl = \"60d\"\n[session]\nmax_age = \"1d\"\n");
}

#[test]
fn all_faults_are_told_at_once_whatever_layer_they_come_from() {
    let sources = Sources {
        variables: variables(&[
            ("REGRANT__ACCESS_TOKEN__TTL", "soon"),
            ("REGRANT__STOER__KIND", "memory"),
            ("HOME", "/home/ada"),
            ("REGRANT", "not ours"),
        ]),
        flags: vec![("--listen", "server.listen", "here".into())],
        ..file("[log]\nlevel = \"loud\"\nformt = \"json\"\n[refresh_token]\nstrict = \"no\"\n")
    };
    let told = load(&sources).map(|_| ()).unwrap_err();
    let mut told: Vec<_> = told.0.iter().map(|Fault { key, origin, .. }| (key.as_str(), origin.as_str())).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("access_token.ttl", "environment variable REGRANT__ACCESS_TOKEN__TTL"),
            ("log.formt", "regrant.toml, line 3"),
            ("log.level", "regrant.toml, line 2"),
            ("refresh_token.strict", "regrant.toml, line 5"),
            ("server.listen", "flag --listen"),
            ("stoer.kind", "environment variable REGRANT__STOER__KIND"),
        ]
    );
}

#[test]
fn an_unknown_key_is_a_fault_with_a_guess_of_what_was_meant() {
    for (text, key, meant) in [
        ("[server]\nlisten_on = \"x\"\n", "server.listen_on", "did you mean server.listen?"),
        ("[refresh_token]\nreplay-window = \"1s\"\n", "refresh_token.replay-window", "refresh_token.replay_window?"),
        ("[access_token]\nreplay_window = \"1s\"\n", "access_token.replay_window", "refresh_token.replay_window?"),
        ("[refresh_tokens]\nttl = \"1s\"\n", "refresh_tokens", "did you mean refresh_token?"),
        ("listen = \"x\"\n", "listen", "did you mean server.listen?"),
        ("server = 3\n", "server", "write [server] on a line of its own"),
        ("[[server]]\nlisten = \"x\"\n", "server", "write [server] on a line of its own"),
        ("[sandwich]\ntuna = 1\n", "sandwich", "regrant config show"),
        ("\"server.listen\" = \"x\"\n", "server.listen", ""),
    ] {
        let told = faults(text).0;
        let [fault] = told.as_slice() else { panic!("{text}: {told:?}") };
        assert_eq!(fault.key, key);
        assert!(fault.accepted.contains(meant), "{text}: {fault}");
    }
    for (name, meant) in [
        ("REGRANT__SERVER__LISTN", "did you mean REGRANT__SERVER__LISTEN?"),
        ("REGRANT__SERVER_LISTEN", "did you mean REGRANT__SERVER__LISTEN?"),
        ("regrant__server__listen", "did you mean REGRANT__SERVER__LISTEN?"),
        ("REGRANT__", "regrant config show"),
        ("REGRANT__SERVER__LISTEN__X", "REGRANT__SERVER__LISTEN"),
        ("REGRANT__A[0]__B", "regrant config show"),
    ] {
        let sources = Sources { variables: variables(&[(name, "x")]), ..Sources::default() };
        let told = load(&sources).map(|_| ()).unwrap_err().0;
        let [fault] = told.as_slice() else { panic!("{name}: {told:?}") };
        assert_eq!(fault.origin, format!("environment variable {name}"));
        assert!(fault.accepted.contains(meant), "{name}: {fault}");
    }
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line_and_without_its_content() {
    for (text, line) in [
        ("[store]\nurl = \"postgres://me:hunter2@db\n", 2),
        ("[store]\nkind = \"sqlite\"\nkind = \"memory\"\n", 3),
        ("[store\n", 1),
        ("\n\nnonsense hunter2\n", 3),
        ("[log]\nlevel = hunter2\n", 2),
    ] {
        let told = faults(text);
        assert!(told.0.iter().any(|fault| fault.origin == format!("regrant.toml, line {line}")), "{text}: {told}");
        assert!(told.0.iter().all(|fault| fault.wrong.contains("not valid TOML")), "{told}");
        assert!(!told.to_string().contains("hunter2"), "{told}");
    }
}

#[test]
fn the_sentence_counts_the_faults_and_names_each() {
    let told = faults("[log]\nlevel = \"loud\"\nformat = \"xml\"\n").to_string();
    assert!(told.starts_with("the configuration has 2 faults:\n  - log."), "{told}");
    assert!(told.contains("log.level (regrant.toml, line 2): \"loud\" is not known; expected \"error\""), "{told}");
}
