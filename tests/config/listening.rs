//! Unix sockets, TLS, and sockets and notices of systemd: the built program, asked by curl.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{LONG, Outcome, Place, Serving, binary, mode};

const QUIET: &[&str] = &["--quiet", "--config", "regrant.toml"];

fn place(server: &str) -> Place {
    let place = Place::new();
    place.write("regrant.toml", &format!("[server]\n{server}\n[store]\nkind = \"memory\"\n"));
    place
}

fn serve(place: &Place) -> Serving {
    Serving::start(place.command(QUIET))
}

/// The status that curl gets, or why it gets none.
fn curl(place: &Place, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    let told = command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"]).args(args);
    let told = told.current_dir(place.path("")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if told.status.success() { Ok(text(told.stdout)) } else { Err(text(told.stderr)) }
}

fn alive(place: &Place, args: &[&str]) {
    assert_eq!(curl(place, args).as_deref(), Ok("200"), "{args:?}");
}

/// Until it holds.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_unix_socket_is_made_for_whom_the_mode_says_and_is_gone_after_a_stop() {
    let place = place("listen = \"unix:http.sock\"\nunix_mode = \"0600\"");
    let serving = serve(&place);
    assert_eq!(serving.endpoint, "unix:http.sock");
    assert_eq!(mode(&place.path("http.sock")), 0o600);
    alive(&place, &["--unix-socket", "http.sock", "http://localhost/healthz"]);

    let told = place.refused(QUIET, 1);
    assert!(told.contains("another Regrant) listens on http.sock") && told.contains("server.listen"), "{told}");
    alive(&place, &["--unix-socket", "http.sock", "http://localhost/readyz"]);

    let (status, log) = serving.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!place.path("http.sock").exists());
}

#[test]
fn the_printed_lines_for_a_unix_socket_work() {
    let place = place("listen = \"unix:http.sock\"");
    let serving = Serving::start(place.command(&["--config", "regrant.toml"]));
    let ran = Command::new("sh").arg("-c").arg(&serving.greeting).current_dir(place.path("")).output().unwrap();
    let told = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success() && told.trim_end().ends_with("204"), "{told}");
}

#[test]
fn a_socket_that_was_left_behind_is_taken_and_any_other_file_is_not() {
    let place = place("listen = \"unix:http.sock\"");
    drop(UnixListener::bind(place.path("http.sock")).unwrap());
    let serving = serve(&place);
    alive(&place, &["--unix-socket", "http.sock", "http://localhost/healthz"]);
    serving.stop();

    place.write("http.sock", "dear diary");
    let told = place.refused(QUIET, 1);
    assert!(told.contains("http.sock is there already and is no socket"), "{told}");
    assert_eq!(std::fs::read_to_string(place.path("http.sock")).unwrap(), "dear diary");

    place.write("regrant.toml", "[server]\nlisten = \"unix:not/there/http.sock\"\n[store]\nkind = \"memory\"\n");
    let told = place.refused(QUIET, 1);
    assert!(told.contains("not/there/http.sock cannot be listened on") && told.contains("its folder"), "{told}");
}

/// A certificate for localhost that is its own issuer, and its key.
fn certificate(place: &Place, serial: &str) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout new-key.pem -out new.pem";
    let mut openssl = Command::new("openssl");
    let made = openssl.args(arguments.split_whitespace()).args(["-set_serial", serial]);
    let made = made.current_dir(place.path("")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (new, name) in [("new-key.pem", "key.pem"), ("new.pem", "cert.pem")] {
        std::fs::rename(place.path(new), place.path(name)).unwrap();
    }
}

const TLS: &str = "listen = \"127.0.0.1:0\"\ntls_certificate = \"cert.pem\"\ntls_key = \"key.pem\"";

#[test]
fn tls_is_spoken_with_the_certificate_and_with_its_successor_without_a_restart() {
    let place = place(TLS);
    certificate(&place, "1");
    std::fs::copy(place.path("cert.pem"), place.path("first.pem")).unwrap();
    let serving = serve(&place);
    let url = format!("{}/healthz", serving.endpoint);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let with = |versions: &[&str], authority: &str| curl(&place, &[versions, &["--cacert", authority, &url]].concat());
    for versions in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        assert_eq!(with(versions, "first.pem").as_deref(), Ok("200"), "{versions:?}");
    }
    assert!(with(&["--tls-max", "1.1"], "first.pem").is_err(), "an old version");
    assert!(curl(&place, &[&url]).is_err(), "nobody vouches for it");
    assert!(curl(&place, &[&url.replace("https", "http")]).is_err(), "no plain text");

    // Half of a change: the key does not belong to the certificate, and the old pair stays.
    let key = std::fs::read(place.path("key.pem")).unwrap();
    place.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(with(&[], "first.pem").as_deref(), Ok("200"));
    std::fs::write(place.path("key.pem"), key).unwrap();

    certificate(&place, "2");
    eventually("the new certificate is in use", || with(&[], "cert.pem").is_ok());
    assert!(with(&[], "first.pem").is_err(), "the old one is not");
    let (status, log) = serving.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("the certificate stays as it was") && log.contains("a new certificate is in use"), "{log}");
}

#[test]
fn a_handshake_that_never_ends_does_not_hold_up_others_or_the_stop() {
    let place = place(TLS);
    certificate(&place, "1");
    let serving = serve(&place);
    let _silent: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(serving.addr).unwrap()).collect();
    alive(&place, &["--cacert", "cert.pem", &format!("{}/healthz", serving.endpoint)]);
    let began = Instant::now();
    let (status, log) = serving.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for handshakes");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_with_its_setting() {
    let place = place(TLS);
    let told = place.refused(QUIET, 1);
    assert!(told.contains("server.tls_certificate: cert.pem cannot be used"), "{told}");
    certificate(&place, "1");
    std::fs::copy(place.path("key.pem"), place.path("other.pem")).unwrap();
    certificate(&place, "2");
    std::fs::rename(place.path("other.pem"), place.path("key.pem")).unwrap();
    let told = place.refused(QUIET, 1);
    assert!(told.contains("server.tls_key: key.pem cannot be used") && told.contains("private key of"), "{told}");
    place.write("cert.pem", "");
    let told = place.refused(QUIET, 1);
    assert!(told.contains("there is no certificate in it"), "{told}");
    place.write("regrant.toml", &format!("[server]\n{}", TLS.replace("127.0.0.1:0", "unix:http.sock")));
    certificate(&place, "3");
    let told = place.refused(QUIET, 1);
    assert!(told.contains("TLS is not spoken there") && !place.path("http.sock").exists(), "{told}");
}

/// What systemd does for a socket unit: the socket is descriptor 3, and the environment says so.
fn activated(place: &Place, socket: OwnedFd, names: &str) -> Command {
    let mut command = place.command(&[]);
    let program = std::mem::replace(&mut command, Command::new("sh"));
    command.current_dir(program.get_current_dir().unwrap()).env_clear().stdin(Stdio::from(socket));
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=\"$1\"; shift; exec \"$@\"";
    command.args(["-c", script, "sh", names]).arg(binary()).args(QUIET);
    command
}

#[test]
fn sockets_of_systemd_are_served_by_order_and_by_name() {
    for (listen, names) in [("systemd", "regrant.socket"), ("systemd:public", "public")] {
        let place = place(&format!("listen = \"{listen}\""));
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let serving = Serving::start(activated(&place, socket.into(), names));
        assert_eq!(serving.addr, addr);
        alive(&place, &[&format!("http://{addr}/healthz")]);
        let (status, log) = serving.stop();
        assert_eq!(status.code(), Some(0), "{log}");

        let socket = UnixListener::bind(place.path("theirs.sock")).unwrap();
        let serving = Serving::start(activated(&place, socket.into(), names));
        alive(&place, &["--unix-socket", "theirs.sock", "http://localhost/healthz"]);
        serving.stop();
        assert!(place.path("theirs.sock").exists(), "systemd's socket is systemd's");
    }
}

#[test]
fn a_socket_that_systemd_did_not_open_is_told() {
    let place = place("listen = \"systemd:public\"");
    let told = place.refused(QUIET, 1);
    assert!(told.contains("no socket with FileDescriptorName=public") && told.contains("socket unit"), "{told}");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = activated(&place, socket.into(), "other").output().unwrap();
    assert_eq!(told.status.code(), Some(1));
    place.write("regrant.toml", "[server]\nlisten = \"systemd\"\n[store]\nkind = \"memory\"\n");
    let socket = UnixDatagram::unbound().unwrap();
    let told = activated(&place, socket.into(), "").output().unwrap();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("cannot be used") && told.contains("ListenStream="), "{told}");
}

#[test]
fn systemd_is_told_when_it_is_ready_alive_and_stopping() {
    let place = place("listen = \"127.0.0.1:0\"");
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let mut command = place.command(QUIET);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "400000");
    let serving = Serving::start(command);
    let next = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).expect("a notice in time");
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    };
    let first: Vec<_> = (0..4).map(|_| next()).collect();
    assert!(first.contains(&"READY=1".to_owned()), "{first:?}");
    assert!(first.iter().filter(|told| *told == "WATCHDOG=1").count() >= 2, "{first:?}");
    serving.signal("TERM");
    let stopping = (0..20).any(|_| next() == "STOPPING=1");
    assert!(stopping);
}

#[test]
fn health_asks_the_service_where_the_configuration_says() {
    let asks = |place: &Place, arguments: &[&str]| -> Outcome {
        place.run(&[arguments, &["--config", "regrant.toml"]].concat())
    };
    let here = place("listen = \"unix:http.sock\"");
    assert!(here.refused(&["health", "--config", "regrant.toml"], 1).contains("http.sock"), "nobody is there");
    let serving = serve(&here);
    for (arguments, told) in [(&["health"][..], "alive"), (&["health", "--ready"], "ready")] {
        let Outcome { code, out, err } = asks(&here, arguments);
        assert_eq!((code, out.trim()), (0, told), "{err}");
    }
    drop(serving);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let here = place(&format!("listen = \"0.0.0.0:{}\"", free.port()));
    let _serving = serve(&here);
    assert_eq!(asks(&here, &["health"]).code, 0, "every interface is this machine too");

    for unknown in ["listen = \"127.0.0.1:0\"", "listen = \"systemd\""] {
        let told = place(unknown).refused(&["health", "--config", "regrant.toml"], 1);
        assert!(told.contains("known to the service only") && told.contains("server.admin_listen"), "{told}");
    }
}

/// The files for systemd are what systemd understands.
#[test]
fn the_units_of_systemd_are_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config/deploy/systemd");
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("systemd-analyze is not here: not checked");
        return;
    };
    assert!(version.status.success());
    // Where the program is said to be, there is one.
    let place = Place::new();
    for name in ["regrant.service", "regrant.socket"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        place.write(name, &text.replace("/usr/local/bin/regrant", binary().to_str().unwrap()));
    }
    let mut analyze = Command::new("systemd-analyze");
    let told =
        analyze.args(["verify", "--man=no"]).args(["regrant.service", "regrant.socket"].map(|name| place.path(name)));
    let told = told.output().unwrap();
    let complaints = String::from_utf8(told.stderr).unwrap();
    let ours: Vec<_> = complaints.lines().filter(|line| line.contains("regrant")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
