//! The trace that a request belongs to, as its caller says (W3C Trace Context, `traceparent`).
//!
//! Deliberately absent: `tracestate`, which is for those who call others; and the answer, whose `X-Request-Id` names the request.

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the header says (W3C Trace Context §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Of the whole trace; not zero.
    pub trace: u128,
    /// Of the caller's span; not zero.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceParent {
    /// The trace as it is written, in 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The only header of its name, if it is one. Anything else is as if there were none (§3.2.2.5).
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        match (given.next(), given.next()) {
            (Some(only), None) => Self::parse(only.to_str().ok()?),
            _ => None,
        }
    }

    /// `00-<trace>-<span>-<flags>`; later versions may go on behind a further dash (§4.3).
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex(parts.next()?, 2)?;
        let (trace, span, flags) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
        let is_whole = version != 0 || parts.next().is_none();
        let span = u64::try_from(span).ok()?;
        let is_one = version != 0xff && trace != 0 && span != 0 && is_whole;
        is_one.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Exactly so many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let parent = TraceParent::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01")).expect("one");
        assert_eq!(parent.trace_id(), TRACE);
        assert_eq!((parent.span, parent.sampled), (0x00f0_67aa_0ba9_02b7, true));
        for unsampled in ["00", "02"] {
            let parent = TraceParent::parse(&format!("00-{TRACE}-00f067aa0ba902b7-{unsampled}"));
            assert!(!parent.expect("one").sampled, "{unsampled}");
        }
        for later in ["01", "fe"] {
            assert!(TraceParent::parse(&format!("{later}-{TRACE}-00f067aa0ba902b7-01-more")).is_some(), "{later}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        let upper = TRACE.to_uppercase();
        for bad in [
            String::new(),
            "00".into(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("00-{TRACE}-00f067aa0ba902b-01"),
            format!("00-{TRACE}0-00f067aa0ba902b7-01"),
            format!("00-{upper}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-+0f067aa0ba902b7-01"),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }
}
