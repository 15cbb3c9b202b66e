//! What holds for every route, from one list of them.

use std::collections::BTreeSet;

use axum::http::Method;
use regrant_adapters::inbound::http::document;
use serde_json::{Value, json};

use crate::support::actors::{Device, Person};
use crate::support::transport::{Answer, Call};
use crate::support::world::{GATEWAY, World};

/// What a request must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Access,
    Refresh,
    /// The access token of somebody else's request.
    Forwarded,
    /// A token in a form.
    Form,
}

/// A route, and what it answers when all is well.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) status: u16,
}

impl Route {
    /// Whether it takes a token in the header.
    pub(crate) fn takes_bearer(&self) -> bool {
        matches!(self.needs, Needs::Access | Needs::Refresh | Needs::Forwarded)
    }
}

/// Every route.
pub(crate) const ROUTES: [Route; 21] = [
    Route { method: Method::GET, path: "/healthz", needs: Needs::Nothing, status: 200 },
    Route { method: Method::GET, path: "/readyz", needs: Needs::Nothing, status: 200 },
    Route { method: Method::GET, path: "/.well-known/jwks.json", needs: Needs::Nothing, status: 200 },
    Route { method: Method::POST, path: "/api/users", needs: Needs::Nothing, status: 201 },
    Route { method: Method::POST, path: "/api/login", needs: Needs::Nothing, status: 200 },
    Route { method: Method::POST, path: "/api/refresh", needs: Needs::Refresh, status: 200 },
    Route { method: Method::POST, path: "/api/revoke", needs: Needs::Refresh, status: 204 },
    Route { method: Method::GET, path: "/api/me", needs: Needs::Access, status: 200 },
    Route { method: Method::DELETE, path: "/api/me", needs: Needs::Access, status: 204 },
    Route { method: Method::PUT, path: "/api/me/password", needs: Needs::Access, status: 204 },
    Route { method: Method::GET, path: "/api/sessions", needs: Needs::Access, status: 200 },
    Route { method: Method::DELETE, path: "/api/sessions", needs: Needs::Access, status: 204 },
    Route { method: Method::DELETE, path: "/api/sessions/{id}", needs: Needs::Access, status: 204 },
    Route { method: Method::GET, path: "/api/sessions/{id}/history", needs: Needs::Access, status: 200 },
    Route { method: Method::GET, path: "/api/sessions?live=true", needs: Needs::Access, status: 200 },
    Route { method: Method::GET, path: "/api/verify", needs: Needs::Forwarded, status: 200 },
    Route { method: Method::GET, path: "/api/verify?check=session", needs: Needs::Forwarded, status: 200 },
    Route { method: Method::GET, path: "/.well-known/oauth-authorization-server", needs: Needs::Nothing, status: 200 },
    Route { method: Method::POST, path: "/oauth/token", needs: Needs::Form, status: 200 },
    Route { method: Method::POST, path: "/oauth/revoke", needs: Needs::Form, status: 200 },
    Route { method: Method::POST, path: "/oauth/introspect", needs: Needs::Form, status: 200 },
];

/// A world with Ada and her phone, to try one route in.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) ada: Person,
    pub(crate) phone: Device,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let world = World::new();
        let ada = world.signs_up("ada@example.org").await;
        let phone = ada.signs_in().await;
        Self { world, ada, phone }
    }

    /// The request without its token.
    pub(crate) fn anonymous(&self, route: &Route) -> Call {
        let call = Call::new(route.method.clone(), route.path.replace("{id}", &self.phone.session));
        match self.body(route) {
            Some(body) => call.json(body),
            None => call,
        }
    }

    /// The request as it should be.
    pub(crate) fn proper(&self, route: &Route) -> Call {
        match route.needs {
            Needs::Nothing => self.anonymous(route),
            Needs::Access | Needs::Forwarded => self.anonymous(route).bearer(&self.phone.access),
            Needs::Refresh => self.anonymous(route).bearer(&self.phone.refresh),
            Needs::Form => self.form(route),
        }
    }

    fn form(&self, route: &Route) -> Call {
        let refresh = self.phone.refresh.as_str();
        match route.path {
            "/oauth/token" => {
                self.anonymous(route).form(&[("grant_type", "refresh_token"), ("refresh_token", refresh)])
            }
            "/oauth/revoke" => self.anonymous(route).form(&[("token", refresh)]),
            _ => self.anonymous(route).form(&[("token", refresh)]).basic(GATEWAY),
        }
    }

    fn body(&self, route: &Route) -> Option<Value> {
        let password = &self.ada.password;
        match (&route.method, route.path) {
            (&Method::POST, "/api/users") => Some(json!({ "email": "bob@example.org", "password": "long enough" })),
            (&Method::POST, "/api/login") => Some(json!({ "email": self.ada.email, "password": password })),
            (&Method::DELETE, "/api/me") => Some(json!({ "password": password })),
            (&Method::PUT, "/api/me/password") => {
                Some(json!({ "current_password": password, "new_password": "long enough" }))
            }
            _ => None,
        }
    }
}

#[test]
fn the_routes_and_the_document_are_the_same() {
    let listed: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.path.split('?').next().unwrap(), route.method.as_str().to_lowercase()))
        .collect();
    let paths = document()["paths"].as_object().unwrap();
    let methods = |(path, item): (&'static String, &'static Value)| {
        item.as_object().unwrap().keys().map(move |method| (path.as_str(), method.clone()))
    };
    let described: BTreeSet<_> = paths.iter().flat_map(methods).collect();
    assert_eq!(listed, described);

    // Every path that the router's source names.
    let sources = [
        include_str!("../../adapters/src/inbound/http/mod.rs"),
        include_str!("../../adapters/src/inbound/http/oauth/mod.rs"),
        include_str!("../../adapters/src/inbound/http/keys.rs"),
    ];
    let texts = sources.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    let named: BTreeSet<_> = texts.filter(|text| text.starts_with('/')).collect();
    assert_eq!(named, paths.keys().map(String::as_str).collect());
}

#[tokio::test]
async fn the_methods_of_a_path_are_those_that_are_described() {
    let world = World::new();
    let paths = document()["paths"].as_object().unwrap().iter();
    // A proxy asks with the method of the request that it has to decide about.
    for (path, item) in paths.filter(|(path, _)| *path != "/api/verify") {
        let answer = world.send(Call::new(Method::PATCH, path.replace("{id}", "0"))).await;
        let allowed = answer.is_problem(405, "method_not_allowed").header("allow").unwrap();
        let allowed: BTreeSet<_> =
            allowed.split(',').map(str::to_lowercase).filter(|method| method != "head").collect();
        assert_eq!(allowed, item.as_object().unwrap().keys().cloned().collect(), "{path}");
    }
}

#[tokio::test]
async fn the_document_is_served_and_the_page_shows_it_with_files_of_its_own() {
    let world = World::new();
    let answer = world.send(Call::get("/openapi.json")).await;
    assert_eq!(answer.is(200).header("content-type"), Some("application/json"));
    assert_eq!((&answer.json(), &answer.json()["openapi"]), (document(), &json!("3.1.0")));

    assert_eq!(world.send(Call::get("/docs")).await.is(303).header("location"), Some("/docs/"));
    let page = world.send(Call::get("/docs/")).await;
    assert!(page.is(200).header("content-security-policy").unwrap().contains("default-src 'none'"));
    let mut files = 0;
    for part in page.text().split(['"', '\'']).filter(|part| [".js", ".css"].iter().any(|kind| part.ends_with(kind))) {
        let name = part.strip_prefix("./").unwrap_or(part);
        assert!(!name.contains(':') && !name.starts_with('/'), "{name} comes from elsewhere");
        world.send(Call::get(format!("/docs/{name}"))).await.is(200);
        files += 1;
    }
    assert!(files >= 4, "{}", page.text());
    let settings = world.send(Call::get("/docs/swagger-initializer.js")).await;
    assert!(settings.text().contains("/openapi.json"), "{}", settings.text());
}

/// Of the answers that may be kept: the published keys, and where everything is.
const KEPT: &str = "public, max-age=300";

/// What keeps browsers from using an answer as anything but data.
const HARDENING: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
];

fn has_the_common_headers(answer: &Answer) {
    for (name, value) in HARDENING {
        assert_eq!(answer.header(name), Some(value), "{}", answer.everything());
    }
    assert!(answer.header("cache-control").is_some_and(|value| value == "no-store" || value == KEPT), "{answer:?}");
    assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("made-")), "{}", answer.everything());
}

#[tokio::test]
async fn every_route_does_its_work_and_its_answer_is_not_stored() {
    for route in &ROUTES {
        let scene = Scene::new().await;
        let answer = scene.world.send(scene.proper(route)).await;
        has_the_common_headers(answer.is(route.status));
        let is_kept = answer.header("cache-control") == Some(KEPT);
        assert_eq!(is_kept, route.path.starts_with("/.well-known/"), "{}", answer.everything());
    }
}

#[tokio::test]
async fn without_a_token_a_route_that_needs_one_says_which_and_names_no_error() {
    for route in ROUTES.iter().filter(|route| route.takes_bearer()) {
        let scene = Scene::new().await;
        let answer = scene.world.send(scene.anonymous(route)).await;
        has_the_common_headers(answer.is_problem(401, "missing_token"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"regrant\""), "{}", route.path);
        scene.phone.is_signed_in().await;
    }
}

#[tokio::test]
async fn a_token_of_the_other_kind_is_not_accepted() {
    for route in ROUTES.iter().filter(|route| route.takes_bearer()) {
        let scene = Scene::new().await;
        let token = if route.needs == Needs::Refresh { &scene.phone.access } else { &scene.phone.refresh };
        let answer = scene.world.send(scene.anonymous(route).bearer(token)).await;
        has_the_common_headers(answer.is_problem(401, "invalid_token"));
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
        scene.phone.is_signed_in().await;
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_told_with_those_that_it_has() {
    let world = World::new();
    // A proxy may ask in any way.
    for route in ROUTES.iter().filter(|route| route.needs != Needs::Forwarded) {
        for method in [Method::OPTIONS, Method::PATCH] {
            let answer = world.send(Call::new(method, route.path)).await;
            has_the_common_headers(answer.is_problem(405, "method_not_allowed"));
            assert!(
                answer.header("allow").is_some_and(|allow| allow.contains(route.method.as_str())),
                "{}",
                route.path
            );
        }
    }
}

#[tokio::test]
async fn a_head_request_is_a_get_without_the_body() {
    let scene = Scene::new().await;
    for route in ROUTES.iter().filter(|route| route.method == Method::GET) {
        let get = scene.world.send(scene.proper(route)).await;
        let head = scene.world.send(Call { method: Method::HEAD, ..scene.proper(route) }).await;
        assert_eq!(head.status, get.status);
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
    }
    let refused = scene.world.send(Call::new(Method::HEAD, "/api/me")).await;
    assert!(refused.is(401).body.is_empty());
}

#[tokio::test]
async fn a_path_that_no_route_has_is_told() {
    let world = World::new();
    for path in ["/", "/api", "/api/", "/api/me/", "/api/nothing", "/api//me", "/api/sessions/a/b"] {
        let answer = world.send(Call::get(path)).await;
        has_the_common_headers(answer.is_problem(404, "not_found"));
    }
}

#[tokio::test]
async fn a_request_id_is_taken_over_if_it_is_one() {
    let world = World::new();
    let longest = "x".repeat(64);
    for good in ["a", "7f.A_-", &longest] {
        let answer = world.send(Call::get("/api/me").header("x-request-id", good)).await;
        assert_eq!(answer.is_problem(401, "missing_token").header("x-request-id"), Some(good));
    }
    let too_long = "x".repeat(65);
    for bad in ["", "a b", "<script>", "ä", &too_long] {
        let answer = world.send(Call::get("/healthz").header("x-request-id", bad)).await;
        has_the_common_headers(answer.is(200));
    }
    let twice = Call::get("/healthz").header("x-request-id", "a").header("x-request-id", "b");
    has_the_common_headers(&world.send(twice).await);
}
