//! Reverse proxies that other people wrote, set up by the samples in `config/deploy/proxies`, before an application that
//! believes what they tell it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Service, Start, member, root};

/// An application: answers with what reached it.
struct Application {
    addr: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl Application {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, reached) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = reached.clone();
        let app = Router::new().fallback(async move |request: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            echo(request).await
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, reached }
    }

    fn was_reached(&self) -> bool {
        self.reached.swap(0, Ordering::SeqCst) > 0
    }
}

async fn echo(request: Request) -> impl IntoResponse + use<> {
    let (head, body) = request.into_parts();
    let headers =
        head.headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
    let headers: Vec<Value> = headers.collect();
    let body = to_bytes(Body::new(body), 1 << 20).await.unwrap();
    let told = json!({
        "method": head.method.as_str(), "path": head.uri.path(), "headers": headers, "body": String::from_utf8_lossy(&body),
    });
    axum::Json(told)
}

/// A proxy that runs until it is dropped.
struct Proxy {
    child: Child,
    base: String,
    home: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Gently: it has to tell its own processes.
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its program, which Debian keeps where only root looks.
fn program(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: run tests/run, or tests/install-servers {name} first"))
}

fn sample(name: &str) -> PathBuf {
    root().join("config/deploy/proxies").join(name)
}

/// The command that runs a sample, whose text stands in `config` below `home`.
fn run(kind: &str, home: &Path, text: &str) -> Command {
    let at = |name: &str| home.join(name).display().to_string();
    let mut command = Command::new(program(kind));
    command.current_dir(home);
    match kind {
        "nginx" => {
            let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {};\n", at(name)))
                .concat();
            let main = format!(
                "daemon off;\npid {};\nerror_log {} warn;\nworker_processes 1;\nevents {{}}\n",
                at("pid"),
                at("log")
            );
            fs::write(home.join("config"), format!("{main}http {{\naccess_log off;\n{temp}{text}}}\n")).unwrap();
            command.args(["-p", &at(""), "-c", &at("config"), "-e", &at("log")]);
        }
        "caddy" => {
            fs::write(home.join("config"), format!("{{\n\tadmin off\n}}\n{text}")).unwrap();
            command.args(["run", "--adapter", "caddyfile", "--config", &at("config")]).env("HOME", home);
            command.env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        }
        "haproxy" => {
            let script = sample("regrant.lua").display().to_string();
            fs::write(home.join("config"), text.replace("/etc/haproxy/regrant.lua", &script)).unwrap();
            command.args(["-db", "-f", &at("config")]);
        }
        other => panic!("{other}"),
    }
    command
}

impl Proxy {
    /// The sample of this kind, with these addresses, and perhaps another word.
    async fn start(kind: &str, regrant: &str, app: SocketAddr, change: impl Fn(String) -> String) -> Self {
        let name = match kind {
            "nginx" => "nginx.conf",
            "caddy" => "Caddyfile",
            _ => "haproxy.cfg",
        };
        let text = fs::read_to_string(sample(name)).unwrap();
        let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        for placeholder in ["127.0.0.1:8080", "127.0.0.1:3000", "127.0.0.1:8000"] {
            assert!(text.contains(placeholder), "{name} lacks {placeholder}");
        }
        let regrant = regrant.trim_start_matches("http://");
        let text = text.replace("127.0.0.1:8000", &own).replace("127.0.0.1:8080", regrant);
        let text = change(text.replace("127.0.0.1:3000", &app.to_string()));
        let home = TempDir::new().unwrap();
        let out = fs::File::create(home.path().join("out")).unwrap();
        let mut command = run(kind, home.path(), &text);
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let proxy = Self { child: command.spawn().unwrap(), base: format!("http://{own}"), home };
        proxy.gets_ready(&own).await
    }

    async fn gets_ready(mut self, own: &str) -> Self {
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(own).is_err() {
            let exited = self.child.try_wait().unwrap();
            let told = fs::read_to_string(self.home.path().join("out")).unwrap_or_default();
            assert!(exited.is_none() && Instant::now() < deadline, "not ready: {exited:?}\n{told}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self
    }
}

/// What a client heard: status, challenge, body.
type Heard = (u16, Option<String>, Value);

async fn send(request: reqwest::RequestBuilder) -> Heard {
    let answer = request.send().await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), challenge, answer.json().await.unwrap_or_default())
}

/// The values under a name, with hyphens and underscores taken for one another, as many applications do.
fn values<'a>(told: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = told["headers"].as_array().unwrap_or_else(|| panic!("the application was not reached: {told}"));
    let same = |header: &Value| header[0].as_str().unwrap().replace('_', "-").eq_ignore_ascii_case(name);
    headers.iter().filter(|header| same(header)).map(|header| header[1].as_str().unwrap()).collect()
}

/// Ada, signed in at a service behind a proxy, and the application that both are for.
struct Scene {
    service: Service,
    app: Application,
    proxy: Proxy,
    login: Value,
    _home: TempDir,
    http: reqwest::Client,
}

impl Scene {
    async fn new(kind: &str, config: &'static str, change: impl Fn(String) -> String) -> Self {
        let home = TempDir::new().unwrap();
        let service = Service::start(&home, &Start { config: Some(config), ..Start::default() });
        service.signs_up("ada@example.org").await;
        let login = service.signs_in("ada@example.org").await;
        let app = Application::start().await;
        let proxy = Proxy::start(kind, &service.base, app.addr, change).await;
        let http = service.http.clone();
        Self { service, app, proxy, login, _home: home, http }
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.proxy.base))
    }

    /// A client that claims to be somebody.
    fn forged(&self, path: &str) -> reqwest::RequestBuilder {
        let names = ["X-Auth-User", "x-auth-user", "X_Auth_User", "X-Auth_User", "X-Auth-Session", "X-Auth-Expires"];
        names.into_iter().fold(self.request(path), |request, name| request.header(name, "admin"))
    }

    fn token(&self) -> &str {
        member(&self.login, "token")
    }

    /// Whoever has no token that is good is told so, and the application does not hear of it.
    async fn refuses_strangers(&self) {
        let parts: Vec<_> = self.token().split('.').collect();
        let unsigned = parts.get(1).map(|claims| format!("Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{claims}."));
        let refresh = format!("Bearer {}", member(&self.login, "refresh_token"));
        for value in [None, Some("Bearer"), Some("Bearer a b"), Some("Basic YTpi"), unsigned.as_deref(), Some(&refresh)]
        {
            for request in [self.request("/"), self.forged("/a?b=c")] {
                let request = value.into_iter().fold(request, |request, value| request.header("authorization", value));
                let (status, challenge, body) = send(request).await;
                assert_eq!(status, 401, "{value:?} {body}");
                assert!(challenge.is_some_and(|challenge| challenge.starts_with("Bearer")), "{value:?}");
            }
        }
        let good = format!("Bearer {}", self.token());
        let twice = self.request("/").header("authorization", &good).header("authorization", &good);
        let (status, ..) = send(twice).await;
        assert!((400..=401).contains(&status), "{status}");
        assert!(!self.app.was_reached());
    }

    /// Whoever has one is named to the application, whatever the client says of itself.
    async fn lets_the_signed_in_through(&self) {
        let post = self.http.post(format!("{}/orders?n=1", self.proxy.base)).body("two of them");
        for request in [self.request("/"), self.forged("/orders"), post] {
            let (status, _, told) = send(request.bearer_auth(self.token())).await;
            assert_eq!(status, 200, "{told}");
            assert_eq!(values(&told, "x-auth-user"), [member(&self.login, "id")], "{told}");
            assert_eq!(values(&told, "x-auth-session"), [member(&self.login, "session_id")], "{told}");
            let expires = values(&told, "x-auth-expires");
            assert!(expires.len() == 1 && expires[0].parse::<u64>().is_ok_and(|at| at > 1_700_000_000), "{told}");
            assert!(!told.to_string().contains("admin"), "{told}");
            if told["method"] == "POST" {
                assert_eq!((&told["path"], &told["body"]), (&json!("/orders"), &json!("two of them")));
            }
        }
        assert!(self.app.was_reached());
    }

    async fn signs_out(&self) {
        let (status, _) = self.service.post("/api/revoke", Some(member(&self.login, "refresh_token")), None).await;
        assert_eq!(status, 204);
    }

    /// While Regrant is down, nobody is let in, and nobody is told to sign in.
    async fn stays_shut_while_regrant_is_down(&mut self) {
        self.service.dies();
        for request in [self.request("/"), self.forged("/"), self.request("/").bearer_auth(self.token())] {
            let (status, _, body) = send(request).await;
            assert!((500..600).contains(&status), "{status} {body}");
        }
        assert!(!self.app.was_reached());
    }
}

async fn guards(kind: &str) {
    for config in ["default.toml", "opaque.toml"] {
        let mut scene = Scene::new(kind, config, |text| text).await;
        scene.refuses_strangers().await;
        scene.lets_the_signed_in_through().await;
        scene.signs_out().await;
        let (status, ..) = send(scene.request("/").bearer_auth(scene.token())).await;
        assert_eq!(status, 401, "{config}: the session is over");
        assert!(!scene.app.was_reached());
        scene.login = scene.service.signs_in("ada@example.org").await;
        scene.lets_the_signed_in_through().await;
        scene.stays_shut_while_regrant_is_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_guards_an_application() {
    guards("nginx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_guards_an_application() {
    guards("caddy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_guards_an_application() {
    guards("haproxy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_check_of_the_session_a_signed_token_lives_until_it_expires() {
    for kind in ["nginx", "caddy", "haproxy"] {
        let scene = Scene::new(kind, "default.toml", |text| text.replace("?check=session", "")).await;
        scene.refuses_strangers().await;
        scene.lets_the_signed_in_through().await;
        scene.signs_out().await;
        scene.lets_the_signed_in_through().await;
    }
}
