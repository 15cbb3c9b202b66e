//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use serde_json::{Value, json};

use super::{Scene, keys};
use crate::support::transport::Call;
use crate::support::world::{GATEWAY, ISSUER, World};

const PATH: &str = "/.well-known/oauth-authorization-server";

async fn metadata(world: &World) -> Value {
    let answer = world.send(Call::get(PATH)).await;
    assert_eq!(answer.is(200).header("content-type"), Some("application/json"));
    answer.json()
}

#[tokio::test]
async fn everything_that_is_listed_is_there_and_answers() {
    let Scene { world, phone, .. } = Scene::new().await;
    let body = metadata(&world).await;
    assert_eq!(body["issuer"], ISSUER);
    assert_eq!(body["grant_types_supported"], json!(["refresh_token"]));
    assert_eq!(body["response_types_supported"], json!([]));
    let mut called = 0;
    for (name, url) in body.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint")) {
        let path = url.as_str().unwrap().strip_prefix(ISSUER).unwrap();
        let methods = body[format!("{name}_auth_methods_supported")].as_array().unwrap();
        for method in methods {
            let form = [("grant_type", "refresh_token"), ("refresh_token", &*phone.refresh), ("token", "x")];
            let (id, secret) = GATEWAY;
            let call = match method.as_str().unwrap() {
                "none" => Call::post(path).form(&form),
                "client_secret_basic" => Call::post(path).form(&form).basic(GATEWAY),
                "client_secret_post" => {
                    let with = [&form[..], &[("client_id", id), ("client_secret", secret)]].concat();
                    Call::post(path).form(&with)
                }
                other => panic!("{other}"),
            };
            world.send(call).await.is(200);
            called += 1;
        }
    }
    assert_eq!(called, 3 + 3 + 2, "{body}");
}

#[tokio::test]
async fn keys_are_listed_where_there_are_any() {
    for config in ["default", "opaque"] {
        let world = World::of_config(config);
        let body = metadata(&world).await;
        let published = world.send(Call::get("/.well-known/jwks.json")).await.json();
        let has_keys = !published["keys"].as_array().unwrap().is_empty();
        assert_eq!(keys(&body).contains(&"jwks_uri"), has_keys, "{config}: {body}");
    }
    let world = World::with(|plan| plan.options.published_keys = std::sync::Arc::new(|| vec![json!({ "kty": "EC" })]));
    assert_eq!(metadata(&world).await["jwks_uri"], format!("{ISSUER}/.well-known/jwks.json"));
}

#[tokio::test]
async fn without_an_issuer_there_is_no_metadata_and_the_answer_says_what_to_set() {
    let world = World::with(|plan| plan.options.oauth.issuer_url = None);
    let answer = world.send(Call::get(PATH)).await;
    assert!(answer.is_problem(404, "issuer_not_known").text().contains("oauth.issuer_url"));
}
