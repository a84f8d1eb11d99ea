use proptest::prelude::*;

use super::*;

fn spec(on: On, port: u16, host: &str, to: u16) -> Spec {
    Spec {
        bind: Bind { on, port },
        to: Place {
            host: host.to_owned(),
            port: to,
        },
    }
}

#[test]
fn what_is_no_forward_is_refused_with_a_sentence() {
    for (text, words) in [
        ("", "[BIND:]PORT:HOST:PORT"),
        ("8080", "[BIND:]PORT:HOST:PORT"),
        ("8080:80", "[BIND:]PORT:HOST:PORT"),
        ("a:8080:b:80:c", "[BIND:]PORT:HOST:PORT"),
        ("8080:2001:db8::1:80", "brackets"),
        ("x:a.example:80", "`x` is no port"),
        ("8080:a.example:x", "`x` is no port"),
        ("65536:a.example:80", "`65536` is no port"),
        ("-1:a.example:80", "`-1` is no port"),
        ("8080:a.example:0", "port 0"),
        ("8080::80", "the host is missing"),
        ("myhost:8080:a.example:80", "not on a name"),
        ("[::1:8080:a.example:80", "not closed"),
        ("[::1]8080:a.example:80", "between a bracket"),
        ("[zz]:8080:a.example:80", "no address of IPv6"),
        ("8080:user@a.example:80", "characters"),
        ("8080:/tmp/socket:80", "characters"),
    ] {
        let error = text.parse::<Spec>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{text}`: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_host_has_255_bytes_and_one_more_is_refused() {
    let of = |length| format!("8080:{}:80", "a".repeat(length)).parse::<Spec>();
    assert!(of(MAX_HOST).is_ok());
    assert!(of(MAX_HOST + 1).unwrap_err().to_string().contains("255"));
}

#[test]
fn the_forms_of_ssh_are_read() {
    for (text, expected) in [
        (
            "8080:a.example:80",
            spec(On::Loopback, 8080, "a.example", 80),
        ),
        (
            ":8080:a.example:80",
            spec(On::Loopback, 8080, "a.example", 80),
        ),
        (
            "localhost:8080:a.example:80",
            spec(On::Loopback, 8080, "a.example", 80),
        ),
        (
            "127.0.0.1:8080:a.example:80",
            spec(On::Loopback, 8080, "a.example", 80),
        ),
        ("*:8080:a.example:80", spec(On::All, 8080, "a.example", 80)),
        (
            "0.0.0.0:8080:a.example:80",
            spec(On::All, 8080, "a.example", 80),
        ),
        (
            "[::]:8080:a.example:80",
            spec(On::All, 8080, "a.example", 80),
        ),
        (
            "[::1]:8080:[2001:db8::1]:80",
            spec(On::Address("::1".parse().unwrap()), 8080, "2001:db8::1", 80),
        ),
        (
            "10.0.0.5:0:127.0.0.1:22",
            spec(On::Address("10.0.0.5".parse().unwrap()), 0, "127.0.0.1", 22),
        ),
    ] {
        assert_eq!(text.parse::<Spec>().unwrap(), expected, "{text}");
    }
}

#[test]
fn a_dynamic_forward_is_a_port_and_perhaps_an_address() {
    for (text, on) in [
        ("1080", On::Loopback),
        ("localhost:1080", On::Loopback),
        ("*:1080", On::All),
        ("[::1]:1080", On::Address("::1".parse().unwrap())),
    ] {
        assert_eq!(text.parse::<Bind>().unwrap(), Bind { on, port: 1080 });
    }
    for text in ["", "x", "a.example:1080", "1:2:3", "[::1]"] {
        let error = text.parse::<Bind>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{text}`: ")), "{error}");
    }
}

#[test]
fn nothing_said_means_this_machine_alone() {
    let bind: Bind = "1080".parse().unwrap();
    assert_eq!(bind.to_string(), "localhost:1080");
    assert_eq!(bind.place().host, "");
}

proptest! {
    #[test]
    fn no_text_is_too_strange_to_be_refused(text in "\\PC{0,40}") {
        let _ = text.parse::<Spec>();
        let _ = text.parse::<Bind>();
        let _ = host_and_port(&text);
    }

    #[test]
    fn a_forward_means_the_same_to_the_peer(port: u16, address: u32) {
        let bind = Bind::new(&Ipv4Addr::from(address).to_string(), port).unwrap();
        let place = bind.place();
        prop_assert_eq!(Bind::new(&place.host, place.port).unwrap(), bind);
    }
}
