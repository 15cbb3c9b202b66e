use super::*;
use regrant_domain::refresh_token::RetryKey;

fn session() -> NewSession {
    let id = SessionId::from_bytes([7; 16]);
    let key = RetryKey::parse("k").unwrap().hash_for(id);
    let spent = |g: u32, retry_key| Spent { generation: Generation(g), at: Timestamp::from_millis(5), retry_key };
    NewSession {
        session: Session {
            id,
            user: UserId::from_bytes([9; 16]),
            created_at: Timestamp::from_millis(1),
            ends_at: Timestamp::MAX,
            device: Device { label: None, user_agent: Some("ü".repeat(128)), ip: Some(String::new()) },
            status: Status::Live,
        },
        lookup: LookupKey::of_session(id),
        token: TokenState {
            held: Held { generation: Generation(3), hash: SecretHash::from_bytes([b'1'; 32]) },
            expires_at: Timestamp::from_millis(99),
            recent: Recent::default().with(spent(1, None)).with(spent(2, Some(key))),
            access: Some(KeptAccess {
                hash: SecretHash::from_bytes([b'2'; 32]),
                expires_at: Timestamp::from_millis(9),
            }),
        },
    }
}

fn stored(new: &NewSession) -> HashMap<Vec<u8>, Vec<u8>> {
    fields(new).unwrap().chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

#[test]
fn a_session_comes_back_equal_and_no_value_is_long() {
    let mut new = session();
    for lookup in [new.lookup.clone(), LookupKey::of_secret(&SecretHash::from_bytes([1; 32]))] {
        for status in [Status::Live, Status::Ended { at: Timestamp::from_millis(8), reason: EndReason::SignedOut }] {
            new.lookup = lookup.clone();
            new.session.status = status;
            let row = stored(&new);
            assert!(row.values().all(|value| value.len() <= 64));
            let read = snapshot(&new.lookup, row).unwrap().unwrap();
            assert_eq!((read.session, read.token), (new.session.clone(), new.token.clone()));
        }
    }
}

#[test]
fn nothing_is_no_session() {
    assert_eq!(snapshot(&session().lookup, HashMap::new()), Ok(None));
}

#[test]
fn rows_that_cannot_be_are_refused() {
    let spoil: [(&str, Option<&[u8]>); 20] = [
        ("a", None),
        ("a", Some(&[0; 31])),
        ("b", None),
        ("b", Some(b"soon")),
        ("u", None),
        ("u", Some(b"short")),
        ("i", Some(b"short")),
        ("c", Some(b"soon")),
        ("x", None),
        ("g", Some(b"-1")),
        ("h", Some(&[0; 31])),
        ("t", Some(b"253402300800000")),
        ("0", None),
        ("1", Some(&[0; 13])),
        ("e", Some(b"5")),
        ("w", Some(b"signed_out")),
        ("A", Some(b"\0")),
        ("A", Some(b"\0\x05ab")),
        ("A", Some(b"\0\xff\xff\xff\xff")),
        ("Z", None),
    ];
    for (field, value) in spoil {
        let mut row = stored(&session());
        match value {
            Some(value) => row.insert(field.into(), value.to_vec()),
            None => row.remove(field.as_bytes()),
        };
        let read = snapshot(&session().lookup, row);
        if field == "Z" {
            assert!(read.is_ok(), "there was none");
        } else {
            assert!(read.is_err(), "{field} {value:?}: {read:?}");
        }
    }
}

#[test]
fn members_stand_for_their_keys() {
    let keys = ["", "a", "fifteen letters", "thirty-one letters are too many", "not base64!"];
    let keys = keys.into_iter().map(|key| LookupKey::stored(key.into()));
    let hash = LookupKey::of_secret(&SecretHash::from_bytes([0; 32]));
    for key in keys.chain([session().lookup, hash, LookupKey::of_session(SessionId::from_bytes([0; 16]))]) {
        assert_eq!(of_member(&member(&key)), Ok(key));
    }
}
