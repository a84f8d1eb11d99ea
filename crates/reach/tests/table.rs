//! Every range with its borders.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::net::IpAddr;

use xtls_reach::{Reach, is_public, may_dial};

const TABLE: &[(Reach, &[&str])] = &[
    (
        Reach::Unspecified,
        &[
            "0.0.0.0",
            "0.255.255.255",
            "::",
            "::ffff:0.0.0.0",
            "2002::1",
            "64:ff9b::",
        ],
    ),
    (
        Reach::Loopback,
        &[
            "127.0.0.0",
            "127.0.0.1",
            "127.255.255.255",
            "::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::1",
            "64:ff9b::7f00:1",
        ],
    ),
    (
        Reach::Private,
        &[
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "fc00::",
            "fdff:ffff::1",
            "fec0::1",
            "::ffff:10.0.0.5",
            "2002:a00:5::1",
            "2002:c0a8:101::1",
            "64:ff9b::192.168.1.1",
        ],
    ),
    (
        Reach::LinkLocal,
        &[
            "169.254.0.0",
            "169.254.169.254",
            "fe80::",
            "febf:ffff::1",
            "::ffff:169.254.1.1",
            "64:ff9b::a9fe:1",
        ],
    ),
    (
        Reach::Multicast,
        &[
            "224.0.0.0",
            "239.255.255.255",
            "255.255.255.255",
            "ff00::",
            "ff02::1",
            "2002:e000:1::",
        ],
    ),
    (
        Reach::Special,
        &[
            "192.0.0.1",
            "192.0.2.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "240.0.0.0",
            "255.255.255.254",
            "::2",
            "::127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "1fff::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "fe00::1",
        ],
    ),
    (
        Reach::Public,
        &[
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2606:4700::1",
            "3fff:1000::1",
            "::ffff:1.1.1.1",
            "2002:101:101::1",
            "64:ff9b::101:101",
        ],
    ),
];

#[test]
fn every_range_leads_where_the_registry_says() {
    for (reach, addresses) in TABLE {
        for text in *addresses {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Reach::of(address), *reach, "{text}");
            assert_eq!(is_public(address), *reach == Reach::Public, "{text}");
        }
    }
}

#[test]
fn nothing_but_what_is_public_is_dialled_unless_its_kind_is_allowed() {
    let all: Vec<Reach> = TABLE.iter().map(|(reach, _)| *reach).collect();
    let near = [Reach::Private, Reach::LinkLocal, Reach::Loopback];
    for (reach, addresses) in TABLE {
        for text in *addresses {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(may_dial(address, &[]), *reach == Reach::Public, "{text}");
            let allowed = *reach == Reach::Public || near.contains(reach);
            assert_eq!(may_dial(address, &all), allowed, "{text}");
            let others: Vec<Reach> = near.into_iter().filter(|one| one != reach).collect();
            assert_eq!(
                may_dial(address, &others),
                *reach == Reach::Public,
                "{text}"
            );
        }
    }
}
