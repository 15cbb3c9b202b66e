//! Request bodies in all their wrong forms.

use serde_json::json;

use super::every_route::Scene;
use crate::support::transport::{Answer, Call};
use crate::support::world::World;

async fn sign_up(world: &World, body: impl Into<Vec<u8>>) -> Answer {
    world.send(Call::post("/api/users").header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn what_is_not_json_is_a_bad_request_and_its_place_is_named() {
    let world = World::new();
    let deep = format!("{{\"email\":{}", "[".repeat(10_000));
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"{\"email\"}",
        b"{\"email\":\"a@b\",}",
        b"email=a@b",
        b"{} {}",
        b"{\"email\":\"\xff\"}",
        b"{\"email\":1e999}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = sign_up(&world, body).await;
        assert!(answer.is_problem(400, "invalid_json").text().contains("line 1, column"), "{}", answer.text());
    }
}

#[tokio::test]
async fn json_of_another_shape_is_told_by_field() {
    let world = World::new();
    for (body, field) in [
        (r"[]", None),
        (r#""text""#, None),
        (r"null", None),
        (r#"{"email":"a@b","password":"long enough","admin":true}"#, None),
        (r"{}", Some("email")),
        (r#"{"email":"a@b"}"#, Some("password")),
        (r#"{"email":null,"password":"long enough"}"#, Some("email")),
        (r#"{"email":["a@b"],"password":"long enough"}"#, Some("email")),
        (r#"{"email":"a@b","password":12345678}"#, Some("password")),
        (r#"{"email":"a@b","password":"long enough","password":"long enough"}"#, Some("password")),
        (r#"{"email":"a@b","email":"c@d","password":"long enough"}"#, Some("email")),
    ] {
        let answer = sign_up(&world, body).await;
        let problem = answer.is_problem(422, "invalid_body").json();
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
        assert!(field.is_none_or(|field| problem["detail"].as_str().unwrap().contains(field)), "{problem}");
    }
}

#[tokio::test]
async fn fields_are_checked_and_the_one_at_fault_is_named() {
    let world = World::new();
    let long = |length| "x".repeat(length);
    for (email, password, code) in [
        ("ada", "long enough".to_owned(), "invalid_email"),
        ("a b@c", "long enough".to_owned(), "invalid_email"),
        ("a\0@c", "long enough".to_owned(), "invalid_email"),
        (long(255).as_str(), "long enough".to_owned(), "invalid_email"),
        ("ada@example.org", "1234567".to_owned(), "invalid_password"),
        ("ada@example.org", long(1025), "invalid_password"),
    ] {
        let answer = sign_up(&world, json!({ "email": email, "password": password }).to_string()).await;
        let field = code.strip_prefix("invalid_").unwrap();
        assert_eq!(answer.is_problem(422, code).json()["field"], field);
    }
}

#[tokio::test]
async fn passwords_are_taken_exactly_as_they_are() {
    let world = World::new();
    for (i, password) in
        [" a b c d ", "nul\0nul\0nul", "ääääääää", &"x".repeat(1024), &"y".repeat(73)].iter().enumerate()
    {
        let email = format!("{i}@example.org");
        let body = json!({ "email": email, "password": password });
        sign_up(&world, body.to_string()).await.is(201);
        world.send(Call::post("/api/login").json(body)).await.is(200);
        let trimmed = json!({ "email": email, "password": password.trim_end_matches([' ', 'x', 'y', 'l']) });
        if trimmed["password"] != **password {
            world.send(Call::post("/api/login").json(trimmed)).await.is_problem(401, "invalid_credentials");
        }
    }
}

#[tokio::test]
async fn labels_are_short_and_printable() {
    let scene = Scene::new().await;
    let login = |label: &str| {
        let body = json!({ "email": scene.ada.email, "password": scene.ada.password, "label": label });
        Call::post("/api/login").json(body)
    };
    for bad in ["x".repeat(101), "ä".repeat(51), "a\0b".into(), "a\nb".into()] {
        assert_eq!(scene.world.send(login(&bad)).await.is_problem(422, "invalid_label").json()["field"], "label");
    }
    for good in ["x".repeat(100), "ä".repeat(50), String::new(), "Ada's phone".into()] {
        scene.world.send(login(&good)).await.is(200);
    }
    let null = json!({ "email": scene.ada.email, "password": scene.ada.password, "label": null });
    scene.world.send(Call::post("/api/login").json(null)).await.is(200);
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let world = World::new();
    let body = json!({ "email": "ada@example.org", "password": "long enough" }).to_string();
    let call = || Call::post("/api/users").body(body.clone());
    for bad in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/json", "json"] {
        let answer = world.send(call().header("content-type", bad)).await;
        answer.is_problem(415, "unsupported_media_type");
    }
    world.send(call()).await.is_problem(415, "unsupported_media_type");
    let twice = call().header("content-type", "application/json").header("content-type", "text/plain");
    world.send(twice).await.is_problem(415, "unsupported_media_type");
    for (i, good) in
        ["application/json; charset=utf-8", "Application/JSON", "application/problem+json"].iter().enumerate()
    {
        let body = json!({ "email": format!("{i}@example.org"), "password": "long enough" }).to_string();
        world.send(Call::post("/api/users").header("content-type", good).body(body)).await.is(201);
    }
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let world = World::new();
    let limit = 64 * 1024;
    let of_length = |length: usize| {
        let body = json!({ "email": "ada@example.org", "password": "long enough" }).to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    sign_up(&world, of_length(limit + 1)).await.is_problem(413, "body_too_large");
    sign_up(&world, of_length(limit)).await.is(201);
}
