//! Where a server wants to be reached.

use std::net::Ipv6Addr;

/// A host and, if it is named, a port: `example.org`, `example.org:5222`, `[2001:db8::1]:5222` (RFC 6120 §4.9.3.19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// A name or an address, which has no brackets.
    pub host: String,
    /// `None`: the usual one.
    pub port: Option<u16>,
}

impl Location {
    /// Reads one; `None`: it names no place.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                match rest {
                    "" => (host, None),
                    _ => (host, Some(rest.strip_prefix(':')?)),
                }
            }
            // Without brackets, though they are required: no name has a colon.
            None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
            None => text
                .split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > MAX_HOST || !host.chars().all(fine) {
            return None;
        }
        let port = match port {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|&port| port > 0)?)
            }
            Some(_) => return None,
            None => None,
        };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// The longest name in the DNS, in bytes, with its last dot.
const MAX_HOST: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_place_is_none() {
        let long = "a".repeat(MAX_HOST + 1);
        for text in [
            "",
            " ",
            ":5222",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:http",
            "host:1:2",
            "[host]",
            "[::1",
            "[::1]5222",
            "[::1]:",
            "[fe80::1%eth0]",
            "a b",
            "a/b",
            "a@b",
            "a\nb",
            "a\u{0}b",
            &long,
        ] {
            assert_eq!(Location::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_host_with_and_without_a_port_is_read() {
        for (text, host, port) in [
            ("example.org", "example.org", None),
            (" example.org:9222\n", "example.org", Some(9222)),
            ("bücher.example:1", "bücher.example", Some(1)),
            ("192.0.2.1:5222", "192.0.2.1", Some(5222)),
            (
                "[2001:41D0:1:A49b::1]:9222",
                "2001:41D0:1:A49b::1",
                Some(9222),
            ),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
        ] {
            let host = host.to_owned();
            assert_eq!(
                Location::read(text),
                Some(Location { host, port }),
                "{text}"
            );
        }
    }
}
