//! What was sent in confidence is not sent back, and not logged.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use super::every_route::{ROUTES, Scene};
use crate::support::transport::Call;
use crate::support::unsteady::{CAUSE, Health};
use crate::support::world::World;

const SECRET: &str = "hunter22-hunter22";

/// Bodies that are refused, with the secret in every place that a text can have.
fn bodies(fields: &[&str]) -> Vec<String> {
    let good = |field: &str| if field == "email" { "ada@example.org" } else { SECRET };
    let whole: Value = fields.iter().map(|field| ((*field).to_owned(), Value::from(good(field)))).collect();
    let mut bodies = vec![
        format!("\"{SECRET}\""),
        format!("[\"{SECRET}\"]"),
        format!("{{\"{SECRET}\":1}}"),
        format!("{{\"{SECRET}"),
        format!("{{\"password\":\"{SECRET}\" {SECRET}}}"),
        format!("{SECRET}=1"),
    ];
    for field in fields {
        for odd in
            [json!([SECRET]), json!({ SECRET: SECRET }), json!(format!("{SECRET}\n\0")), json!(SECRET.repeat(99))]
        {
            let mut body = whole.clone();
            body[*field] = odd;
            bodies.push(body.to_string());
        }
        bodies.push(whole.to_string().replacen('{', &format!("{{\"{field}\":\"{SECRET}\","), 1));
    }
    bodies
}

#[tokio::test]
async fn no_answer_repeats_what_was_sent_to_it() {
    let scene = Scene::new().await;
    let (email, label) = ("email", "label");
    for (call, fields) in [
        (Call::post("/api/users"), &[email, "password"][..]),
        (Call::post("/api/login"), &[email, "password", label]),
        (Call::put("/api/me/password").bearer(&scene.phone.access), &["current_password", "new_password"]),
        (Call::delete("/api/me").bearer(&scene.phone.access), &["password"]),
    ] {
        for body in bodies(fields) {
            let answer =
                scene.world.send(call.clone().header("content-type", "application/json").body(body.clone())).await;
            assert!(answer.status.is_client_error() || answer.status == 201, "{body}: {}", answer.everything());
            assert!(!answer.everything().contains("hunter22"), "{body}: {}", answer.everything());
        }
    }
    for route in &ROUTES {
        let spoilt = [
            scene.anonymous(route).bearer(SECRET),
            scene.anonymous(route).bearer(&format!("{SECRET} {SECRET}")),
            scene.proper(route).bearer(SECRET),
            scene.anonymous(route).header("authorization", SECRET),
            Call::post("/api/refresh").bearer(&scene.phone.refresh).header("idempotency-key", format!("{SECRET} ")),
            Call::post("/api/refresh").bearer(&scene.phone.refresh).body(SECRET),
            Call::get(format!("/api/sessions?live={SECRET}")).bearer(&scene.phone.access),
            Call::get(format!("/api/sessions?token={SECRET}")),
            Call::delete(format!("/api/sessions/{SECRET}")).bearer(&scene.phone.access),
            Call::get(format!("/{SECRET}")),
        ];
        for call in spoilt {
            let answer = scene.world.send(call).await;
            assert!(!answer.everything().contains("hunter22"), "{}", answer.everything());
        }
    }
}

thread_local! {
    /// What the service logs on this thread; a test's requests stay on its own.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ToThisThread;

impl Write for ToThisThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One subscriber for the whole process: beside a subscriber of one thread only, a place in the code that another
/// thread comes to first would be taken for one that nobody listens to.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
        subscriber.with_writer(|| ToThisThread).init();
    });
}

fn log() -> String {
    LOG.with_borrow(|log| String::from_utf8(log.clone()).unwrap())
}

#[tokio::test]
async fn the_log_names_requests_and_no_secret_at_any_level() {
    listen();
    for route in &ROUTES {
        let scene = Scene::new().await;
        let mut call = scene.proper(route).header("x-request-id", "of-this-test").header("cookie", SECRET);
        call.path = format!("{}{}q={SECRET}", call.path, if call.path.contains('?') { '&' } else { '?' });
        scene.world.send(call).await;
        scene.world.send(Call::get(format!("/{SECRET}/x"))).await;
        let log = log();
        for secret in [&scene.phone.access, &scene.phone.refresh, &scene.ada.password, SECRET] {
            assert!(!log.contains(secret), "{log}");
        }
        let path = route.path.split('?').next().unwrap();
        let span = format!("request{{request_id=of-this-test method=\"{}\" path=\"{path}\"}}", route.method);
        let line = log.lines().find(|line| line.contains(&span) && line.contains("answered"));
        let line = line.unwrap_or_else(|| panic!("{span} is not in {log}"));
        assert!(line.contains("status=") && line.contains("latency_ms="), "{line}");
    }
}

#[tokio::test]
async fn the_log_has_the_cause_of_an_outage_beside_the_request_id() {
    listen();
    let world = World::new();
    world.sessions.becomes(Health::Away);
    world.send(Call::get("/readyz").header("x-request-id", "away-1")).await.is(503);
    world.sessions.becomes(Health::Corrupt);
    world.send(Call::get("/readyz").header("x-request-id", "ill-1")).await.is(503);
    let log = log();
    let line = |level: &str, id: &str| log.lines().any(|l| l.contains(level) && l.contains(id) && l.contains(CAUSE));
    assert!(line("WARN", "away-1") && line("ERROR", "ill-1"), "{log}");
}
