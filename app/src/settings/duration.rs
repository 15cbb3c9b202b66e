//! Durations as people write them: `90s`, `15m`, `1h`, `60d`.

use std::time::Duration;

/// Units, longest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Reads a whole number and a unit. A plain `0` needs none.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("it does not begin with a number".to_owned());
    }
    let number: u64 = number.parse().map_err(|_| "the number is too large".to_owned())?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return if number == 0 { Ok(Duration::ZERO) } else { Err("the unit is missing".to_owned()) };
    }
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("the unit must be s, m, h or d".to_owned());
    };
    number.checked_mul(*seconds).map(Duration::from_secs).ok_or_else(|| "the number is too large".to_owned())
}

/// Writes a duration with the longest unit that makes it a whole number.
pub(crate) fn write(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (unit, length) = UNITS
        .iter()
        .find(|(_, length)| seconds.is_multiple_of(*length) && seconds > 0)
        .map_or(("s", 1), |(unit, length)| (*unit, *length));
    format!("{}{unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("90s", 90),
            ("15m", 900),
            ("1h", 3_600),
            ("60d", 5_184_000),
            ("365d", 31_536_000),
            (" 30 s ", 30),
            ("007s", 7),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_told_apart() {
        for (text, fault) in [
            ("", "does not begin"),
            ("s", "does not begin"),
            ("-1s", "does not begin"),
            ("90", "unit is missing"),
            ("1.5h", "must be s, m, h or d"),
            ("1h30m", "must be s, m, h or d"),
            ("1w", "must be s, m, h or d"),
            ("1H", "must be s, m, h or d"),
            ("1ms", "must be s, m, h or d"),
            ("99999999999999999999s", "too large"),
            ("18446744073709551615d", "too large"),
            ("1\u{a0}d\0", "must be s, m, h or d"),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(fault), "{text:?}: {told}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for seconds in [0, 1, 59, 60, 61, 3_600, 5_400, 86_400, 31_536_000] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse(&write(duration)), Ok(duration));
        }
        assert_eq!(write(Duration::from_mins(5)), "5m");
    }
}
