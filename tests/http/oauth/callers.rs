//! Which client asks (RFC 6749 §2.3).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regrant_domain::client::{Client, ClientSecret, Clients};

use super::Scene;
use crate::support::transport::Call;
use crate::support::world::{GATEWAY, World};

const ROUTES: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"];

/// A request with good parameters and these ones more.
fn call(path: &str, token: &str, more: &[(&str, &str)]) -> Call {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token), ("token", token)];
    form.extend(more);
    Call::post(path).form(&form)
}

#[tokio::test]
async fn a_client_with_a_secret_proves_itself_in_either_way() {
    let (id, secret) = GATEWAY;
    for path in ROUTES {
        for in_body in [true, false] {
            let Scene { world, phone, .. } = Scene::new().await;
            let call = if in_body {
                call(path, &phone.refresh, &[("client_id", id), ("client_secret", secret)])
            } else {
                // Some libraries name the client in both places.
                call(path, &phone.refresh, &[("client_id", id)]).basic(GATEWAY)
            };
            world.send(call).await.is(200);
        }
    }
}

#[tokio::test]
async fn a_public_client_may_refresh_and_revoke_and_not_introspect() {
    for more in [&[][..], &[("client_id", "some-app")]] {
        for path in ROUTES {
            let Scene { world, phone, .. } = Scene::new().await;
            let answer = world.send(call(path, &phone.refresh, more)).await;
            match path {
                "/oauth/introspect" => answer.is_oauth_error(401, "invalid_client", None),
                _ => answer.is(200),
            };
        }
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_everywhere_and_nothing_is_spent() {
    let Scene { world, phone, .. } = Scene::new().await;
    let (id, secret) = GATEWAY;
    let cut = &secret[1..];
    let headers = [
        "Bearer abc".to_owned(),
        format!("Bearer {}", phone.access),
        "Basic".to_owned(),
        "Basic ???".to_owned(),
        format!("Basic {}", STANDARD.encode("gateway")),
        format!("Basic {}", STANDARD.encode("gateway:")),
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}&x"))),
        format!("Basic {}", STANDARD.encode(b"\xff:\xff")),
        format!("Digest {}", STANDARD.encode(format!("{id}:{secret}"))),
    ];
    for path in ROUTES {
        for credentials in [(id, cut), (id, "x"), ("Gateway", secret), ("", secret), ("some-app", secret), ("a", "")] {
            let answer = world.send(call(path, &phone.refresh, &[]).basic(credentials)).await;
            answer.is_oauth_error(401, "invalid_client", None);
        }
        for header in &headers {
            let answer = world.send(call(path, &phone.refresh, &[]).header("authorization", header)).await;
            answer.is_oauth_error(401, "invalid_client", None);
        }
        for more in [
            &[("client_id", id)][..],
            &[("client_id", id), ("client_secret", "")],
            &[("client_id", id), ("client_secret", cut)],
            &[("client_id", "some-app"), ("client_secret", secret)],
            &[("client_assertion_type", "x"), ("client_assertion", "y")],
        ] {
            world.send(call(path, &phone.refresh, more)).await.is_oauth_error(401, "invalid_client", None);
        }
    }
    phone.is_signed_in().await;
    assert!(phone.lists_sessions().await[0]["last_refreshed_at"].is_null(), "nothing was spent");
}

#[tokio::test]
async fn one_way_at_a_time() {
    let Scene { world, phone, .. } = Scene::new().await;
    let (id, secret) = GATEWAY;
    for path in ROUTES {
        for call in [
            call(path, &phone.refresh, &[("client_id", id), ("client_secret", secret)]).basic(GATEWAY),
            call(path, &phone.refresh, &[("client_secret", secret)]).basic(GATEWAY),
            call(path, &phone.refresh, &[("client_secret", secret)]),
            call(path, &phone.refresh, &[("client_id", "another")]).basic(GATEWAY),
            call(path, &phone.refresh, &[]).basic(GATEWAY).basic(GATEWAY),
            Call::post(format!("{path}?client_id={id}&client_secret={secret}").replace(' ', "+"))
                .form(&[("token", &phone.refresh)]),
        ] {
            world.send(call).await.is_oauth_error(400, "invalid_request", None);
        }
    }
    phone.is_signed_in().await;
}

#[tokio::test]
async fn a_secret_is_changed_without_a_moment_in_which_none_is_right() {
    let (old, new) = ("the old secret, which is long enough", "the new secret, which is long enough");
    let client = |secret: &str| Client::new("gateway", &ClientSecret::received(secret.to_owned())).unwrap();
    for (known, right) in [(vec![old], [true, false]), (vec![old, new], [true, true]), (vec![new], [false, true])] {
        let clients = Clients::new(known.into_iter().map(client).collect());
        let world = World::with(|plan| plan.options.oauth.clients = clients);
        for (secret, is_right) in [old, new].into_iter().zip(right) {
            let answer = world.send(call("/oauth/introspect", "x", &[]).basic(("gateway", secret))).await;
            assert_eq!(answer.status.as_u16(), if is_right { 200 } else { 401 });
        }
    }
}

#[tokio::test]
async fn where_no_client_is_known_nobody_introspects() {
    let world = World::with(|plan| {
        plan.options.oauth.clients = Clients::default();
        plan.options.published_keys = Arc::new(Vec::new);
    });
    for credentials in [GATEWAY, ("", ""), ("a", "")] {
        let answer = world.send(call("/oauth/introspect", "x", &[]).basic(credentials)).await;
        answer.is_oauth_error(401, "invalid_client", None);
    }
}
