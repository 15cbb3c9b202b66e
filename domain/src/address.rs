//! Ranges of network addresses, as operators write them.
//!
//! `core::net` has the values and nothing that acts.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// The addresses that begin with the same bits: `192.0.2.0/24`, `2001:db8::/32`, or one address. An IPv4 address that is
/// mapped into IPv6 counts as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Whether this text is an address in the range. Text that is no address is in none.
    pub fn contains(&self, address: &str) -> bool {
        address.parse::<IpAddr>().is_ok_and(|address| self.includes(address))
    }

    /// Whether this address is in the range.
    pub fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && begin(address, self.bits) == begin(self.first, self.bits)
    }

    /// The network of one subscriber: the IPv4 address itself, or the /64 of an IPv6 address, of which each device picks
    /// as many addresses as it likes (RFC 4291 §2.5.4). `None`: the text is no address.
    pub fn network_of(address: &str) -> Option<Self> {
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 64 };
        Some(Self { first: least(address, bits), bits })
    }
}

impl FromStr for AddressRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| NotARange::Address)?;
        let bits = match bits {
            None => width(written),
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| NotARange::Bits)?
            }
            Some(_) => return Err(NotARange::Bits),
        };
        if bits > width(written) {
            return Err(NotARange::Bits);
        }
        let first = written.to_canonical();
        // The first 96 bits of a mapped address only say that it is one.
        let bits = bits.checked_sub(width(written) - width(first)).ok_or(NotARange::Bits)?;
        let least = least(first, bits);
        if least == first { Ok(Self { first, bits }) } else { Err(NotARange::Inside(Self { first: least, bits })) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Why a text is not an [`AddressRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotARange {
    /// What it begins with is no address.
    #[error("expected an address, or a range such as 192.0.2.0/24 or 2001:db8::/32")]
    Address,
    /// The number of bits does not fit.
    #[error("after the slash, expected a number of bits: at most 32 for IPv4, 128 for IPv6")]
    Bits,
    /// It names an address inside of a range: one of the two was not meant.
    #[error("that is an address inside of a range; did you mean {0}?")]
    Inside(AddressRange),
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `bits` bits.
fn begin(address: IpAddr, bits: u8) -> u128 {
    let value = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    value.checked_shr(u32::from(width(address) - bits)).unwrap_or(0)
}

/// The first address that begins so.
fn least(address: IpAddr, bits: u8) -> IpAddr {
    let value = begin(address, bits).checked_shl(u32::from(width(address) - bits)).unwrap_or(0);
    match (address, u32::try_from(value)) {
        (IpAddr::V4(_), Ok(value)) => IpAddr::V4(value.into()),
        _ => IpAddr::V6(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_that_begin_like_it() {
        for (range, inside, outside) in [
            ("192.0.2.0/24", &["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"][..], &["192.0.3.0", "192.0.1.255"][..]),
            ("192.0.2.7", &["192.0.2.7", "::ffff:c000:207"], &["192.0.2.6", "::c000:207"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1", "nonsense", ""]),
            ("2001:db8::/32", &["2001:db8::1", "2001:DB8:ffff::"], &["2001:db9::", "192.0.2.1"]),
            ("::1", &["::1"], &["::2", "0.0.0.1"]),
            ("::/0", &["::", "ffff::"], &["192.0.2.1", "::ffff:192.0.2.1"]),
            ("::ffff:10.0.0.0/104", &["10.255.0.1", "::ffff:10.1.2.3"], &["11.0.0.0"]),
        ] {
            let range: AddressRange = range.parse().unwrap_or_else(|why| panic!("{range}: {why}"));
            for address in inside {
                assert!(range.contains(address), "{address} is in {range}");
            }
            for address in outside {
                assert!(!range.contains(address), "{address} is not in {range}");
            }
        }
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_64_bits_of_an_ipv6_address() {
        let network = |text| AddressRange::network_of(text).map(|network| network.to_string());
        for (one, other) in [
            ("192.0.2.7", "::ffff:192.0.2.7"),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
            ("fe80::1", "FE80::2"),
        ] {
            assert_eq!(network(one), network(other));
        }
        for (one, other) in [("192.0.2.7", "192.0.2.8"), ("2001:db8:1:2::1", "2001:db8:1:3::1"), ("::1", "0.0.0.1")] {
            assert_ne!(network(one), network(other));
        }
        assert_eq!(network("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(network("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(network("unix"), None);
    }

    #[test]
    fn what_is_no_range_is_told_apart() {
        for (text, why) in [
            ("", NotARange::Address),
            ("10.0.0/8", NotARange::Address),
            ("localhost", NotARange::Address),
            ("10.0.0.0/33", NotARange::Bits),
            ("10.0.0.0/", NotARange::Bits),
            ("10.0.0.0/+8", NotARange::Bits),
            ("10.0.0.0/8/8", NotARange::Bits),
            ("::/129", NotARange::Bits),
            ("::ffff:10.0.0.0/95", NotARange::Bits),
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(why), "{text:?}");
        }
        let told = "10.1.2.3/8".parse::<AddressRange>().map_err(|why| why.to_string());
        assert_eq!(told, Err("that is an address inside of a range; did you mean 10.0.0.0/8?".to_owned()));
        assert!("2001:db8::1/32".parse::<AddressRange>().is_err());
    }
}
