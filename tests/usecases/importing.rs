//! Taking users over from other software.

use std::sync::Arc;
use std::time::Duration;

use regrant_domain::ports::{ForeignHashes, MockPortable, PortError, Portable, UnusableHash, UserRepository};
use regrant_domain::time::Timestamp;
use regrant_domain::usecases::import::{Import, Imported, Line, Mode, Refused, Row, Why};
use regrant_domain::user::{Epoch, InvalidEmail, PasswordHash};

use super::World;

/// Takes what begins with `weak:`, which the world's passwords know.
struct WeakHashes;

impl ForeignHashes for WeakHashes {
    fn accept(&self, text: &str) -> Result<PasswordHash, UnusableHash> {
        let known = text.starts_with("weak:").then(|| PasswordHash::new(text.to_owned()));
        known.ok_or(UnusableHash("it is no weak hash"))
    }
}

fn import_into(world: &World, keep: Arc<dyn Portable>) -> Import {
    Import::new(&world.ports, keep, Arc::new(WeakHashes))
}

fn import(world: &World) -> Import {
    import_into(world, world.store.clone())
}

fn row(email: &str) -> Row {
    Row { email: email.into(), password_hash: "weak:correct horse".into(), ..Row::default() }
}

fn lines(rows: Vec<Row>) -> Vec<Line> {
    rows.into_iter().zip(1..).map(|(row, number)| Line { number, row: Ok(row) }).collect()
}

fn refused(line: u64, email: &str, why: Why) -> Refused {
    Refused { line, email: Some(email.into()), why }
}

#[tokio::test]
async fn an_imported_user_signs_in_with_the_old_password_and_has_a_better_hash_from_then_on() {
    let world = World::new();
    let id = "0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10";
    let rows = vec![
        Row { id: Some(id.into()), created_at: Some("2019-05-01T12:00:00+02:00".into()), ..row("Ada@Example.org") },
        Row { updated_at: Some("2020-01-01T00:00:00Z".into()), ..row("eve@example.org") },
    ];
    let imported = import(&world).batch(lines(rows), Mode::Keep).await.unwrap();
    assert_eq!(imported, Imported { added: 2, refused: vec![] });
    let ada = world.user("ada@example.org").await.unwrap();
    assert_eq!((ada.id.to_string().as_str(), ada.epoch), (id, Epoch(0)));
    assert_eq!(ada.created_at.to_string(), "2019-05-01T10:00:00.000Z");
    assert_eq!(ada.updated_at, ada.created_at);
    let eve = world.user("eve@example.org").await.unwrap();
    assert_eq!(eve.created_at.to_string(), "2026-01-01T00:00:00.000Z", "now");
    assert_eq!(eve.updated_at.to_string(), "2020-01-01T00:00:00.000Z");
    for email in ["ada@example.org", "eve@example.org"] {
        world.signs_in(email, "correct horse").await;
        assert_eq!(world.user(email).await.unwrap().password_hash.as_str(), "hash:correct horse");
    }
}

#[tokio::test]
async fn each_row_that_is_refused_says_why_and_the_others_are_imported() {
    let id = "0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10";
    let with_id = |email: &str| Row { id: Some(id.into()), ..row(email) };
    for mode in [Mode::Check, Mode::Keep] {
        let world = World::new();
        let ada = world.registers("ada@example.org", "correct horse").await;
        let mut all = lines(vec![
            row("eve"),
            Row { password_hash: "md5".into(), ..row("b@b") },
            Row { id: Some("7".into()), ..row("c@c") },
            Row { created_at: Some("yesterday".into()), ..row("d@d") },
            Row { updated_at: Some("1969-01-01T00:00:00Z".into()), ..row("e@e") },
            row("ADA@example.org"),
            with_id("f@f"),
            row("F@F"),
            with_id("g@g"),
            Row { id: Some(ada.id.to_string()), ..row("h@h") },
            row("z@z"),
        ]);
        all.insert(0, Line { number: 0, row: Err("no row".into()) });
        let imported = import(&world).batch(all, mode).await.unwrap();
        let not_an_instant = "x".parse::<Timestamp>().unwrap_err();
        let expected = vec![
            Refused { line: 0, email: None, why: Why::NotARow("no row".into()) },
            refused(1, "eve", Why::Email(InvalidEmail::Shape)),
            refused(2, "b@b", Why::Hash(UnusableHash("it is no weak hash"))),
            refused(3, "c@c", Why::Id("7".parse::<regrant_domain::ids::UserId>().unwrap_err())),
            refused(4, "d@d", Why::Instant("created_at", not_an_instant)),
            refused(5, "e@e", Why::Instant("updated_at", not_an_instant)),
            refused(6, "ADA@example.org", Why::EmailTaken),
            refused(8, "F@F", Why::EmailTaken),
            refused(9, "g@g", Why::IdTaken),
            refused(10, "h@h", Why::IdTaken),
        ];
        assert_eq!(imported, Imported { added: 2, refused: expected }, "{mode:?}");
        for new in ["f@f", "z@z"] {
            assert_eq!(world.user(new).await.is_some(), mode == Mode::Keep, "{mode:?}");
        }
        assert_eq!(world.user("ada@example.org").await, Some(ada));
    }
}

#[tokio::test]
async fn an_import_can_be_repeated_and_never_takes_a_better_hash_back() {
    let world = World::new();
    let rows = || {
        let id = Some("0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10".into());
        // Changed later than anything that happens here.
        vec![Row { id, updated_at: Some("2099-01-01T00:00:00Z".into()), ..row("ada@example.org") }]
    };
    assert_eq!(import(&world).batch(lines(rows()), Mode::Keep).await.unwrap().added, 1);
    world.signs_in("ada@example.org", "correct horse").await;
    let ada = world.user("ada@example.org").await.unwrap();
    world.clock.advance(Duration::from_hours(1));
    for mode in [Mode::Keep, Mode::Check] {
        let again = import(&world).batch(lines(rows()), mode).await.unwrap();
        assert_eq!(again, Imported { added: 0, refused: vec![refused(1, "ada@example.org", Why::EmailTaken)] });
    }
    assert_eq!(world.user("ada@example.org").await, Some(ada));
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_and_no_refusal() {
    let world = World::new();
    let mut away = MockPortable::new();
    away.expect_add_users().returning(|_| Err(PortError::unavailable("the store", "gone")));
    let result = import_into(&world, Arc::new(away)).batch(lines(vec![row("a@b")]), Mode::Keep).await;
    assert!(matches!(result, Err(PortError::Unavailable { .. })));
    assert!(
        UserRepository::find_by_email(&*world.store, &regrant_domain::user::Email::parse("a@b").unwrap())
            .await
            .unwrap()
            .is_none()
    );
}
