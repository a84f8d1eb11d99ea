use std::net::Ipv4Addr;

use super::*;

fn allow(rules: &[&str]) -> Allow {
    Allow {
        connect: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        listen: Vec::new(),
    }
}

fn place(host: &str, port: u16) -> Place {
    Place {
        host: host.to_owned(),
        port,
    }
}

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect()
}

/// Loopback, link-local, private and otherwise special, in either family and either spelling.
const SPECIAL: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.5",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.9.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:5::1",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

#[test]
fn nothing_is_allowed_unless_something_is() {
    let none = Allow::default();
    for host in [
        "a.example",
        "93.184.216.34",
        "127.0.0.1",
        "localhost",
        "*",
        "",
    ] {
        assert_eq!(none.judge(&place(host, 80)), Err(NotAllowed), "{host}");
    }
    assert_eq!(none.judge_listen(&place("", 8080)), Err(NotAllowed));
}

#[test]
fn only_the_name_that_is_allowed_may_be_asked_for() {
    let rules = allow(&["a.example:80"]);
    for (host, port) in [
        ("a.example", 81),
        ("b.example", 80),
        ("a.example.evil.example", 80),
        ("xa.example", 80),
        ("93.184.216.34", 80),
        ("*", 80),
    ] {
        assert_eq!(
            rules.judge(&place(host, port)),
            Err(NotAllowed),
            "{host}:{port}"
        );
    }
    for host in ["a.example", "A.Example", "a.example."] {
        assert_eq!(rules.judge(&place(host, 80)), Ok(Judgement::LookUp));
    }
}

#[test]
fn an_address_stands_for_itself_and_for_no_name() {
    let rules = allow(&["10.0.0.5:80", "[2001:db8::1]:443"]);
    assert_eq!(rules.judge(&place("intranet", 80)), Err(NotAllowed));
    assert_eq!(rules.judge(&place("10.0.0.6", 80)), Err(NotAllowed));
    assert_eq!(rules.judge(&place("2001:db8::1", 80)), Err(NotAllowed));
    for host in ["10.0.0.5", "::ffff:10.0.0.5"] {
        let address = "10.0.0.5:80".parse().unwrap();
        assert_eq!(
            rules.judge(&place(host, 80)),
            Ok(Judgement::Connect(address))
        );
    }
    assert!(rules.judge(&place("2001:DB8:0::1", 443)).is_ok());
}

#[test]
fn everything_does_not_mean_this_machine_or_the_networks_around_it() {
    let rules = allow(&["*:*"]);
    for host in SPECIAL {
        assert!(!is_public(host.parse().unwrap()), "{host}");
        assert_eq!(rules.judge(&place(host, 80)), Err(NotAllowed), "{host}");
        let found = rules.judge_found(&place("a.example", 80), &ips(&[host]));
        assert_eq!(found, Err(NotAllowed), "a name for {host}");
    }
    for host in [
        "93.184.216.34",
        "2606:4700::1",
        "1.1.1.1",
        "2002:101:101::1",
        "64:ff9b::101:101",
    ] {
        assert!(rules.judge(&place(host, 80)).is_ok(), "{host}");
    }
    assert_eq!(rules.judge(&place("1.1.1.1", 0)), Err(NotAllowed));
}

#[test]
fn a_name_that_also_has_an_address_that_is_not_allowed_is_refused_altogether() {
    let rules = allow(&["*:443"]);
    let found = |addresses: &[&str]| rules.judge_found(&place("a.example", 443), &ips(addresses));
    assert_eq!(found(&["93.184.216.34", "127.0.0.1"]), Err(NotAllowed));
    assert_eq!(found(&["93.184.216.34", "::1"]), Err(NotAllowed));
    assert_eq!(found(&["93.184.216.34"]).unwrap().len(), 1);
}

#[test]
fn other_spellings_of_addresses_are_names_whose_addresses_are_judged() {
    let rules = allow(&["*:80"]);
    for host in [
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "localhost",
    ] {
        assert_eq!(
            rules.judge(&place(host, 80)),
            Ok(Judgement::LookUp),
            "{host}"
        );
        let found = rules.judge_found(&place(host, 80), &ips(&["127.0.0.1"]));
        assert_eq!(found, Err(NotAllowed), "{host}");
    }
}

#[test]
fn a_name_that_is_allowed_itself_may_be_private() {
    let rules = allow(&["db.internal:5432"]);
    let found = rules.judge_found(
        &place("DB.internal", 5432),
        &ips(&["10.0.0.5", "::ffff:127.0.0.1"]),
    );
    let addresses = ["10.0.0.5:5432", "127.0.0.1:5432"];
    assert_eq!(
        found.unwrap(),
        addresses.map(|address| address.parse().unwrap())
    );
    // It lends that to no other name, and to no other port.
    for other in [place("other.internal", 5432), place("db.internal", 22)] {
        assert_eq!(
            rules.judge_found(&other, &ips(&["10.0.0.5"])),
            Err(NotAllowed)
        );
    }
}

#[test]
fn a_private_address_that_is_allowed_itself_may_be_behind_a_name_where_names_are() {
    let rules = allow(&["*:80", "10.0.0.5:80"]);
    assert!(
        rules
            .judge_found(&place("a.example", 80), &ips(&["10.0.0.5"]))
            .is_ok()
    );
    assert_eq!(
        rules.judge_found(&place("a.example", 80), &ips(&["10.0.0.6"])),
        Err(NotAllowed)
    );
}

#[test]
fn a_name_has_eight_addresses_that_are_tried() {
    let rules = allow(&["*:80"]);
    let many: Vec<IpAddr> = (1..=9)
        .map(|last| Ipv4Addr::new(93, 184, 216, last).into())
        .collect();
    let found = rules.judge_found(&place("a.example", 80), &many).unwrap();
    assert_eq!(found.len(), MAX_ADDRESSES);
}

#[test]
fn what_a_peer_may_have_us_listen_on_is_exactly_what_is_allowed() {
    let rules = Allow {
        connect: Vec::new(),
        listen: vec!["8080".parse().unwrap(), "*:9090".parse().unwrap()],
    };
    for (host, port) in [
        ("", 8081),
        ("*", 8080),
        ("0.0.0.0", 8080),
        ("", 9090),
        ("10.0.0.5", 8080),
        ("a.example", 8080),
        ("", 0),
    ] {
        assert_eq!(
            rules.judge_listen(&place(host, port)),
            Err(NotAllowed),
            "{host}:{port}"
        );
    }
    for host in ["", "localhost", "127.0.0.1"] {
        assert!(rules.judge_listen(&place(host, 8080)).is_ok(), "{host}");
    }
    for host in ["*", "0.0.0.0", "::"] {
        assert!(rules.judge_listen(&place(host, 9090)).is_ok(), "{host}");
    }
}

#[test]
fn what_is_no_rule_is_refused_with_a_sentence() {
    for (text, words) in [
        ("a.example", "HOST:PORT"),
        ("a.example:", "no port"),
        ("a.example:http", "no port"),
        ("a.example:70000", "no port"),
        ("a.example:+80", "no port"),
        (":80", "the host is missing"),
        ("::1:80", "brackets"),
        ("[::1:80", "not closed"),
        ("[a.example]:80", "no address of IPv6"),
        ("a b:80", "characters"),
        ("a.example:80:90", "HOST:PORT"),
    ] {
        let error = text.parse::<Allowed>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{text}`: ")) && error.contains(words),
            "{error}"
        );
    }
}

#[test]
fn a_rule_is_shown_as_it_is_written() {
    for text in ["a.example:80", "*:443", "10.0.0.5:*", "[2001:db8::1]:22"] {
        assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
    }
}
