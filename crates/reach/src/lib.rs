//! Where an IP address leads, for programs that connect to addresses that someone else has named.
//!
//! ```
//! use xtls_reach::{Reach, may_dial};
//!
//! let inside = "192.168.1.1".parse()?;
//! assert_eq!(Reach::of(inside), Reach::Private);
//! assert!(!may_dial(inside, &[]));
//! assert!(may_dial(inside, &[Reach::Private]));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Somewhere in the Internet.
    Public,
    /// A network that is not part of it: RFC 1918, RFC 4193, site-local addresses, and what providers share (RFC 6598).
    Private,
    /// The network that this machine is connected to.
    LinkLocal,
    /// This machine.
    Loopback,
    /// Many machines, or all of a network.
    Multicast,
    /// "This host", which systems take for this machine (RFC 1122 §3.2.1.3).
    Unspecified,
    /// What is reserved, for documentation or benchmarks, and tunnels whose ends can't be told.
    Special,
}

impl Reach {
    /// Where this address leads. One of IPv6 that stands for one of IPv4 leads where that one does.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

/// Whether an address of the Internet: not of this machine, nor of the networks around it, nor of a special kind.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    Reach::of(address) == Reach::Public
}

/// Whether you may connect to an address that someone else has named: if it is public, or its kind is among `near`.
///
/// Multicast, unspecified and special addresses are never dialled.
#[must_use]
pub fn may_dial(address: IpAddr, near: &[Reach]) -> bool {
    match Reach::of(address) {
        Reach::Public => true,
        reach @ (Reach::Private | Reach::LinkLocal | Reach::Loopback) => near.contains(&reach),
        Reach::Multicast | Reach::Unspecified | Reach::Special => false,
    }
}

/// The IANA registry of special addresses of IPv4.
fn of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [0, ..] => Reach::Unspecified,
        [127, ..] => Reach::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Reach::Private,
        [169, 254, ..] => Reach::LinkLocal,
        [224..=239, ..] | [255, 255, 255, 255] => Reach::Multicast,
        // Protocol assignments, documentation, benchmarks, the future.
        [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [198, 18..=19, ..]
        | [240..=255, ..] => Reach::Special,
        _ => Reach::Public,
    }
}

/// Global unicast is 2000::/3. Of it, what stands for an address of IPv4 is judged as that one, as its gateway may lead there.
fn of_v6(address: Ipv6Addr) -> Reach {
    let inside =
        |high: u16, low: u16| of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        [0xff00..=0xffff, ..] => Reach::Multicast,
        // 6to4.
        [0x2002, high, low, ..] => inside(high, low),
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside(high, low),
        // Teredo, documentation, and other special purposes of 2001::/23.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Special,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Special,
    }
}

/// The example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
