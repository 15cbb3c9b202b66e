//! The members of a flat JSON object as the service writes it: no escapes, no blanks, nothing nested.
//!
//! Each answer is read by this tool, on the processor that it measures: a whole JSON parser would cost it several times as
//! much. What is written in another way is not refused here, but left to one.

use memchr::memchr2;

/// Names and values (a number as its digits), or `None`: it is not for here.
pub(crate) fn members<'a>(body: &'a [u8], mut each: impl FnMut(&'a str, &'a str)) -> Option<()> {
    // Characters that JSON wants escaped. Folded, not searched: the compiler makes sixteen comparisons at once of it.
    if body.iter().fold(0, |any, &byte| any | u8::from(byte < b' ')) != 0 {
        return None;
    }
    let mut rest = str::from_utf8(body).ok()?.strip_prefix('{')?;
    loop {
        let (name, after) = string(rest)?;
        let after = after.strip_prefix(':')?;
        let (value, after) = if after.starts_with('"') { string(after)? } else { number(after)? };
        each(name, value);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (after == "}").then_some(()),
        }
    }
}

/// A string, and what is after it.
fn string(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = memchr2(b'"', b'\\', inner.as_bytes())?;
    inner[end..].starts_with('"').then(|| (&inner[..end], &inner[end + 1..]))
}

/// A whole number, and what is after it.
fn number(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(&str, &str)>> {
        let mut all = Vec::new();
        members(text.as_bytes(), |name, value| all.push((name, value))).map(|()| all)
    }

    #[test]
    fn the_members_are_told_in_their_order() {
        let all = read(r#"{"token":"a.b","refresh_token":"c","expires_in":3600,"token":"d"}"#).unwrap();
        assert_eq!(all, [("token", "a.b"), ("refresh_token", "c"), ("expires_in", "3600"), ("token", "d")]);
    }

    #[test]
    fn whatever_is_written_otherwise_is_left_to_a_parser() {
        for text in [
            "",
            "{}",
            "{",
            "[]",
            r#"{"a":1"#,
            r#"{"a":}"#,
            r#"{"a"}"#,
            r#"{"a":"b"#,
            r#"{"a":"b"}x"#,
            r#"{"a":"b",}"#,
            r#"{"a": 1}"#,
            r#" {"a":1}"#,
            r#"{"a":"b\n"}"#,
            r#"{"a":"\u0061"}"#,
            r#"{"a":null}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":-1}"#,
            "{\"a\":\"\n\"}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
