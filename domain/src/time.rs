//! Instants. There is no clock here: see [`Clock`](crate::ports::Clock).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant in UTC, in whole milliseconds since 1970-01-01T00:00:00Z, from then to the end of the year 9999.
///
/// Every store keeps exactly this precision, so an instant that is written comes back equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that every store can keep: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The instant `millis` milliseconds after 1970; outside of the supported range, the nearest end of it.
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self(0)
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down (the `NumericDate` of RFC 7519).
    pub const fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// This instant and `span` more, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(span))
    }

    /// This instant less `span`, at least 1970.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(span))
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The one rule for expiry: at `expires_at` itself, it *is* expired.
    pub fn has_reached(self, expires_at: Self) -> bool {
        self >= expires_at
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds, in UTC: `2026-11-21T08:30:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&utc.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl FromStr for Timestamp {
    type Err = NotAnInstant;

    /// Reads RFC 3339 with any offset; what is finer than a millisecond is dropped.
    fn from_str(text: &str) -> Result<Self, NotAnInstant> {
        let millis = DateTime::parse_from_rfc3339(text).map_err(|_| NotAnInstant)?.timestamp_millis();
        let instant = Self::from_millis(millis);
        if instant.0 == millis { Ok(instant) } else { Err(NotAnInstant) }
    }
}

/// The text is not an instant, or not one that every store can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instant from 1970 to 9999: expected RFC 3339, such as 2026-11-21T08:30:00Z")]
pub struct NotAnInstant;

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instant_of_expiry_is_expired_and_the_millisecond_before_is_not() {
        let end = Timestamp::from_millis(1_000);
        assert!(!Timestamp::from_millis(999).has_reached(end));
        assert!(Timestamp::from_millis(1_000).has_reached(end));
    }

    #[test]
    fn arithmetic_stays_within_the_years_that_every_store_can_keep() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(5).minus(Duration::MAX), Timestamp::from_millis(0));
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }

    #[test]
    fn text_is_rfc_3339_in_utc_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_795_249_800_007).to_string(), "2026-11-21T08:30:00.007Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn text_is_read_with_any_offset_and_nothing_else_is_an_instant() {
        let instant = Timestamp::from_millis(1_795_249_800_007);
        for text in ["2026-11-21T08:30:00.007Z", "2026-11-21T10:30:00.0079+02:00", "2026-11-21 08:30:00.007+00:00"] {
            assert_eq!(text.parse(), Ok(instant), "{text}");
        }
        for text in
            ["", "2026-11-21", "2026-11-21T08:30:00", "1969-12-31T23:59:59Z", "1795249800", "9999-13-01T00:00:00Z"]
        {
            assert_eq!(text.parse::<Timestamp>(), Err(NotAnInstant), "{text}");
        }
    }
}
