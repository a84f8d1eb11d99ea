use zeroize::Zeroizing;

use super::*;

const ALL: &str = "SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-512 SCRAM-SHA-512-PLUS PLAIN";

fn offer(mechanisms: &str, bindings: Option<&str>) -> Offer {
    let owned = |names: &str| names.split_whitespace().map(str::to_owned).collect();
    Offer {
        mechanisms: owned(mechanisms),
        plus: mechanisms.contains("-PLUS"),
        bindings: bindings.map(owned),
    }
}

fn exporter() -> Exporter {
    Exporter::new(Zeroizing::new([7; 32]))
}

/// A password over TLS 1.3, which is not to be shown.
fn means() -> Means {
    Means {
        certificate: false,
        password: true,
        plain: false,
        exporter: Some(exporter()),
    }
}

fn old_tls() -> Means {
    Means {
        exporter: None,
        ..means()
    }
}

fn first(offer: &Offer, means: &Means) -> Result<Mechanism, Unfit> {
    choose(offer, means, Seen::Nothing)
}

fn scram(hash: Hash, binding: Binding) -> Result<Mechanism, Unfit> {
    Ok(Mechanism::Scram { hash, binding })
}

fn bound(hash: Hash) -> Result<Mechanism, Unfit> {
    scram(hash, Binding::Exporter(exporter()))
}

#[test]
fn tls_unique_is_never_taken_with_tls_1_3() {
    let both = offer(ALL, Some("tls-unique tls-exporter tls-server-end-point"));
    assert_eq!(first(&both, &means()), bound(Hash::Sha512));
    for types in ["tls-unique", "tls-server-end-point tls-unique"] {
        let old = offer(ALL, Some(types));
        assert_eq!(first(&old, &means()), scram(Hash::Sha512, Binding::None));
    }
}

#[test]
fn before_tls_1_3_nothing_binds_and_nothing_is_claimed() {
    for types in [
        None,
        Some("tls-exporter"),
        Some("tls-unique"),
        Some("tls-unique tls-exporter"),
    ] {
        for mechanisms in [ALL, "SCRAM-SHA-512"] {
            let offer = offer(mechanisms, types);
            assert_eq!(
                first(&offer, &old_tls()),
                scram(Hash::Sha512, Binding::None)
            );
        }
    }
}

#[test]
fn the_y_flag_is_never_sent_where_the_plus_of_that_mechanism_is_offered() {
    let names: Vec<&str> = ALL.split_whitespace().collect();
    let mut told = 0;
    for set in 0..1_u32 << names.len() {
        let chosen = names
            .iter()
            .enumerate()
            .filter(|(at, _)| set & (1 << at) != 0);
        let mechanisms: Vec<&str> = chosen.map(|(_, name)| *name).collect();
        for types in [
            None,
            Some(""),
            Some("tls-unique"),
            Some("tls-exporter"),
            Some("tls-server-end-point tls-exporter"),
        ] {
            let offer = offer(&mechanisms.join(" "), types);
            for means in [means(), old_tls()] {
                for mechanism in possible(&offer, &means) {
                    if let Mechanism::Scram {
                        hash,
                        binding: Binding::Unoffered,
                    } = mechanism
                    {
                        assert!(means.exporter.is_some(), "{offer:?}");
                        assert!(!offer.has(plus(hash)), "{offer:?}");
                        told += 1;
                    }
                }
            }
        }
    }
    assert!(told > 0);
}

#[test]
fn a_server_that_names_no_binding_is_not_guessed_at() {
    // What ejabberd 23.01 says, which then refuses tls-exporter.
    for types in [None, Some("")] {
        let offer = offer("SCRAM-SHA-1 SCRAM-SHA-1-PLUS", types);
        assert_eq!(first(&offer, &means()), scram(Hash::Sha1, Binding::None));
        // It may bind in its own way, and would take a claim of ours for a sign of tampering.
        let other = self::offer("SCRAM-SHA-256 SCRAM-SHA-1-PLUS", types);
        assert_eq!(first(&other, &means()), scram(Hash::Sha256, Binding::None));
    }
}

#[test]
fn a_binding_that_the_server_does_not_know_is_not_used() {
    let offer = offer(ALL, Some("tls-server-end-point tls-unique"));
    assert_eq!(first(&offer, &means()), scram(Hash::Sha512, Binding::None));
}

#[test]
fn a_server_that_should_offer_binding_and_does_not_is_told() {
    for stripped in [
        offer("SCRAM-SHA-256 SCRAM-SHA-1", None),
        offer("SCRAM-SHA-256 SCRAM-SHA-1", Some("tls-exporter")),
        offer("SCRAM-SHA-256 SCRAM-SHA3-512-PLUS", Some("tls-exporter")),
    ] {
        let unoffered = scram(Hash::Sha256, Binding::Unoffered);
        assert_eq!(first(&stripped, &means()), unoffered);
    }
}

#[test]
fn binding_is_used_where_the_server_knows_it_and_comes_before_the_hash() {
    let types = Some("tls-server-end-point tls-exporter");
    assert_eq!(first(&offer(ALL, types), &means()), bound(Hash::Sha512));
    for (mechanisms, hash) in [
        ("SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS PLAIN", Hash::Sha256),
        ("SCRAM-SHA-512 SCRAM-SHA-1-PLUS", Hash::Sha1),
    ] {
        assert_eq!(first(&offer(mechanisms, types), &means()), bound(hash));
    }
}

#[test]
fn the_strongest_hash_is_used() {
    let hashes = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"];
    for (at, hash) in [Hash::Sha1, Hash::Sha256, Hash::Sha512]
        .into_iter()
        .enumerate()
    {
        let offer = offer(&hashes[..=at].join(" "), None);
        let unoffered = scram(hash, Binding::Unoffered);
        assert_eq!(first(&offer, &means()), unoffered);
    }
}

#[test]
fn plain_needs_leave_and_comes_last() {
    let allowed = Means {
        plain: true,
        ..means()
    };
    assert_eq!(first(&offer("PLAIN", None), &means()), Err(Unfit::Nothing));
    assert_eq!(first(&offer("PLAIN", None), &allowed), Ok(Mechanism::Plain));
    assert_eq!(
        first(&offer("PLAIN SCRAM-SHA-1", None), &allowed),
        scram(Hash::Sha1, Binding::Unoffered)
    );
    for others in ["", "ANONYMOUS DIGEST-MD5 EXTERNAL", "plain", "PLAIN-PLUS"] {
        let offer = offer(others, None);
        assert_eq!(first(&offer, &allowed), Err(Unfit::Nothing), "{others}");
    }
}

#[test]
fn a_certificate_is_used_where_it_is_taken_and_needs_no_password() {
    let both = Means {
        certificate: true,
        ..means()
    };
    let alone = Means {
        password: false,
        plain: true,
        ..both.clone()
    };
    let with = offer(&format!("{ALL} EXTERNAL"), Some("tls-exporter"));
    let without = offer(ALL, Some("tls-exporter"));
    assert_eq!(first(&with, &both), Ok(Mechanism::External));
    assert_eq!(first(&with, &alone), Ok(Mechanism::External));
    assert_eq!(first(&without, &both), bound(Hash::Sha512));
    assert_eq!(first(&without, &alone), Err(Unfit::Nothing));
    assert_eq!(first(&with, &means()), bound(Hash::Sha512));
}

#[test]
fn what_was_bound_once_is_never_unbound_again() {
    let seen = Seen::Scram {
        hash: Hash::Sha1,
        bound: true,
    };
    let all = Means {
        certificate: true,
        plain: true,
        ..means()
    };
    for (offer, means) in [
        (offer(ALL, None), all.clone()),
        (
            offer("SCRAM-SHA-512 PLAIN EXTERNAL", Some("tls-exporter")),
            all.clone(),
        ),
        (offer("EXTERNAL", None), all.clone()),
        (offer("PLAIN", None), all.clone()),
        (
            offer(ALL, Some("tls-exporter")),
            Means {
                exporter: None,
                ..all.clone()
            },
        ),
    ] {
        assert_eq!(choose(&offer, &means, seen), Err(Unfit::Unbound));
    }
    let offer = offer(ALL, Some("tls-exporter"));
    assert_eq!(choose(&offer, &all, seen), bound(Hash::Sha512));
}

#[test]
fn what_had_a_strong_hash_once_never_has_a_weaker_one() {
    let seen = Seen::Scram {
        hash: Hash::Sha256,
        bound: false,
    };
    let all = Means {
        certificate: true,
        plain: true,
        ..means()
    };
    for mechanisms in ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "PLAIN", "EXTERNAL"] {
        let offer = offer(mechanisms, Some("tls-exporter"));
        assert_eq!(choose(&offer, &all, seen), Err(Unfit::Weaker));
    }
    for (mechanisms, hash) in [
        ("SCRAM-SHA-256 SCRAM-SHA-1-PLUS EXTERNAL", Hash::Sha256),
        ("SCRAM-SHA-512 SCRAM-SHA-256", Hash::Sha512),
    ] {
        let offer = offer(mechanisms, Some("tls-exporter"));
        let chosen = choose(&offer, &all, seen);
        assert_eq!(chosen, scram(hash, Binding::Unoffered));
    }
}

#[test]
fn a_password_is_not_shown_after_a_log_in_without_it() {
    let all = Means {
        certificate: true,
        plain: true,
        ..means()
    };
    let chosen = |mechanisms| choose(&offer(mechanisms, None), &all, Seen::Certificate);
    assert_eq!(chosen("PLAIN"), Err(Unfit::Weaker));
    assert_eq!(chosen("PLAIN EXTERNAL"), Ok(Mechanism::External));
    let unoffered = scram(Hash::Sha1, Binding::Unoffered);
    assert_eq!(chosen("PLAIN SCRAM-SHA-1"), unoffered);
}

#[test]
fn what_was_seen_is_never_less_than_before() {
    let all = [Hash::Sha1, Hash::Sha256, Hash::Sha512].into_iter();
    let scrams = all.flat_map(|hash| [false, true].map(|bound| Seen::Scram { hash, bound }));
    let all: Vec<Seen> = [Seen::Nothing, Seen::Certificate]
        .into_iter()
        .chain(scrams)
        .collect();
    let offer = offer(&format!("{ALL} EXTERNAL"), Some("tls-exporter"));
    let means = Means {
        certificate: true,
        plain: true,
        ..means()
    };
    for old in &all {
        for new in &all {
            let mut seen = *old;
            seen.learn(*new);
            for mechanism in possible(&offer, &means) {
                assert!(
                    !seen.allows(&mechanism) || old.allows(&mechanism),
                    "{old:?} {new:?} {mechanism:?}"
                );
            }
        }
    }
    let mut seen = Seen::Scram {
        hash: Hash::Sha512,
        bound: false,
    };
    seen.learn(Seen::Scram {
        hash: Hash::Sha1,
        bound: true,
    });
    let both = Seen::Scram {
        hash: Hash::Sha512,
        bound: true,
    };
    assert_eq!(seen, both);
}

#[test]
fn a_mechanism_shows_what_it_proves() {
    let shows = |mechanism: Mechanism| (mechanism.name(), mechanism.shows());
    assert_eq!(
        shows(bound(Hash::Sha512).unwrap()),
        (
            "SCRAM-SHA-512-PLUS",
            Seen::Scram {
                hash: Hash::Sha512,
                bound: true
            }
        )
    );
    assert_eq!(
        shows(scram(Hash::Sha1, Binding::Unoffered).unwrap()),
        (
            "SCRAM-SHA-1",
            Seen::Scram {
                hash: Hash::Sha1,
                bound: false
            }
        )
    );
    assert_eq!(shows(Mechanism::External), ("EXTERNAL", Seen::Certificate));
    assert_eq!(shows(Mechanism::Plain), ("PLAIN", Seen::Nothing));
}

#[test]
fn an_offer_is_read_from_its_own_namespaces_alone() {
    let features = |inside: &str| {
        let text =
            format!("<features xmlns='http://etherx.jabber.org/streams'>{inside}</features>");
        Offer::read(&Element::read(text.as_bytes(), "").unwrap(), Profile::Sasl)
    };
    assert_eq!(features(""), offer("", None));
    let read = features(
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism> SCRAM-SHA-1\n</mechanism><mechanism xmlns='x'>PLAIN</mechanism>\
         <mechanism>SCRAM-SHA-1-PLUS</mechanism><other>PLAIN</other></mechanisms><mechanisms><mechanism>PLAIN</mechanism></mechanisms>\
         <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/><channel-binding/>\
         <channel-binding xmlns='x' type='tls-unique'/></sasl-channel-binding>",
    );
    assert_eq!(
        read,
        offer("SCRAM-SHA-1 SCRAM-SHA-1-PLUS", Some("tls-exporter"))
    );
    assert_eq!(read.names(), ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"]);
}

#[test]
fn an_offer_is_hashed_sorted_by_octets_and_as_it_was_received() {
    let types = Some("tls-server-end-point tls-exporter");
    let example = offer("SCRAM-SHA-1-PLUS SCRAM-SHA-1", types);
    // The example of XEP-0474 §5.3.
    assert_eq!(
        example.to_hash(),
        b"SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point"
    );
    for (offer, text) in [
        (offer("b a Z", None), "Z\x1ea\x1eb"),
        (offer("PLAIN PLAIN", Some("")), "PLAIN\x1ePLAIN\x1f"),
        (offer("X Ä SCRAM,Y|", Some("t")), "SCRAM,Y|\x1eX\x1eÄ\x1ft"),
    ] {
        assert_eq!(offer.to_hash(), text.as_bytes());
    }
}

#[test]
fn an_offer_is_read_in_the_order_of_the_server_and_without_the_space_around_it() {
    let xml = b"<features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism> PLAIN\n</mechanism>\
        <hostname>x</hostname><mechanism>SCRAM-SHA-1</mechanism></mechanisms>\
        <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding></features>";
    let offer = Offer::read(&Element::read(xml, "").unwrap(), Profile::Sasl);
    assert_eq!(offer.mechanisms, ["PLAIN", "SCRAM-SHA-1"]);
    assert_eq!(offer.bindings, Some(vec!["tls-exporter".to_owned()]));
}
