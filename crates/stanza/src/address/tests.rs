use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> AddressError {
    Address::new(text).unwrap_err()
}

#[test]
fn an_empty_address_is_refused() {
    assert_eq!(refused(""), AddressError::Empty { part: Part::Domain });
}

#[test]
fn an_empty_local_part_is_refused() {
    assert_eq!(refused("@b"), AddressError::Empty { part: Part::Local });
}

#[test]
fn an_empty_domain_is_refused() {
    assert_eq!(refused("a@/r"), AddressError::Empty { part: Part::Domain });
    assert_eq!(refused("a@."), AddressError::Empty { part: Part::Domain });
}

#[test]
fn an_empty_resource_is_refused() {
    assert_eq!(
        refused("a@b/"),
        AddressError::Empty {
            part: Part::Resource
        }
    );
}

#[test]
fn a_part_of_1024_bytes_is_refused_and_1023_pass() {
    let long = "a".repeat(1024);
    let fits = "a".repeat(1023);
    assert_eq!(
        refused(&format!("{long}@b")),
        AddressError::TooLong {
            part: Part::Local,
            len: 1024
        }
    );
    assert_eq!(
        refused(&long),
        AddressError::TooLong {
            part: Part::Domain,
            len: 1024
        }
    );
    assert_eq!(
        refused(&format!("a@b/{long}")),
        AddressError::TooLong {
            part: Part::Resource,
            len: 1024
        }
    );
    let all = Address::new(&format!("{fits}@{fits}/{fits}")).unwrap();
    assert_eq!(
        (all.local(), all.domain(), all.resource()),
        (Some(&*fits), &*fits, Some(&*fits))
    );
}

#[test]
fn forbidden_characters_are_refused_in_each_part() {
    for c in [
        '"', '&', '\'', ':', '<', '>', ' ', '\t', '\u{A0}', '\0', '\u{7F}',
    ] {
        assert_eq!(
            refused(&format!("a{c}@b")),
            AddressError::Forbidden {
                part: Part::Local,
                found: c
            }
        );
    }
    for c in ['@', ' ', '\n', '<', '\'', '\u{3000}', '\u{85}'] {
        assert_eq!(
            refused(&format!("a@b{c}")),
            AddressError::Forbidden {
                part: Part::Domain,
                found: c
            }
        );
    }
    for c in ['\0', '\n', '\u{1F}', '\u{FFFF}'] {
        assert_eq!(
            refused(&format!("a@b/{c}")),
            AddressError::Forbidden {
                part: Part::Resource,
                found: c
            }
        );
    }
}

#[test]
fn a_domain_with_an_empty_label_is_refused() {
    for text in ["a@b..", "a@.b", "a@b..c", ".."] {
        assert_eq!(
            refused(text),
            AddressError::Forbidden {
                part: Part::Domain,
                found: '.'
            }
        );
    }
}

#[test]
fn the_first_slash_starts_the_resource() {
    let address = Address::new("Capulet.example/a@b/c d").unwrap();
    assert_eq!(
        (address.local(), address.domain(), address.resource()),
        (None, "capulet.example", Some("a@b/c d"))
    );
    assert!(address.is_full());
    assert_eq!(address.to_bare().as_str(), "capulet.example");
    assert_eq!(address.to_bare().as_address().resource(), None);
}

#[test]
fn case_counts_in_the_resource_only() {
    let upper = Address::new("A@B./R").unwrap();
    assert_eq!(upper.as_str(), "a@b/R");
    assert_ne!(upper, Address::new("a@b/r").unwrap());
    assert!(upper.same_bare(&Address::new("a@b").unwrap()));
    assert_eq!(upper.with_resource("x").unwrap().as_str(), "a@b/x");
    assert!(upper.with_resource("").is_err());
}

#[test]
fn order_is_by_octets() {
    let order = |a: &str, b: &str| Address::new(a).unwrap().cmp(&Address::new(b).unwrap());
    assert_eq!(order("a@b/A", "a@b/a"), Ordering::Less);
    assert_eq!(order("z@b", "é@b"), Ordering::Less);
}

#[test]
fn what_is_plain_is_told_from_what_only_looks_like_it() {
    for text in ["a@b", "a.b@c.d/e f", "a..b@c", ".a@b", "b.c", "a@b/x/y@z"] {
        assert!(plain(text.as_bytes()).is_some(), "{text}");
    }
    for text in [
        "a@b.", "a@.b", "a@b..c", "A@b", "a@b@c", "@b", "a@", "a@b/", "/r", "a+b@c",
    ] {
        assert!(plain(text.as_bytes()).is_none(), "{text}");
    }
}

proptest! {
    #[test]
    fn the_fast_way_leads_to_the_same_place(text in "[a-c.@/A é'&<>\x7F]{0,9}|[a-c.@]{1,6}/[a-c '&<>\x7F]{1,12}") {
        let (quick, slow) = (Address::new(&text), Address::normalise(&text));
        prop_assert_eq!(&quick, &slow);
        if let (Ok(quick), Ok(slow)) = (quick, slow) {
            prop_assert_eq!((quick.domain, quick.bare, quick.plain), (slow.domain, slow.bare, slow.plain));
        }
    }

    #[test]
    fn parts_put_together_give_the_same_address(text in "\\PC{0,12}[@/.]?\\PC{0,12}[@/]?\\PC{0,12}") {
        if let Ok(address) = Address::new(&text) {
            let again = Address::new(address.as_str()).unwrap();
            prop_assert_eq!(&again, &address);
            let local = address.local().map(|l| format!("{l}@")).unwrap_or_default();
            let resource = address.resource().map(|r| format!("/{r}")).unwrap_or_default();
            prop_assert_eq!(format!("{local}{}{resource}", address.domain()), address.as_str());
            let bare = address.to_bare();
            prop_assert_eq!(bare.as_str(), address.bare());
        }
    }
}

#[test]
fn a_bare_address_has_no_resource_and_a_full_one_has() {
    let (bare, full) = ("juliet@capulet.example", "juliet@capulet.example/balcony");
    assert_eq!(Bare::new(full), Err(AddressError::NotBare));
    assert_eq!(Full::new(bare), Err(AddressError::NotFull));
    assert_eq!(
        Full::new("a@"),
        Err(AddressError::Empty { part: Part::Domain })
    );
    let (bare, full) = (Bare::new(bare).unwrap(), Full::new(full).unwrap());
    assert_eq!(full.to_bare(), bare);
    assert_eq!(bare.as_address().to_bare(), bare);
    assert_eq!(bare.with_resource("balcony"), Ok(full.clone()));
    assert_eq!(
        full.as_address()
            .with_resource("orchard")
            .unwrap()
            .resource(),
        "orchard"
    );
    assert_eq!(Address::from(full.clone()).as_str(), full.as_str());
    assert_eq!(
        (full.local(), full.domain()),
        (Some("juliet"), "capulet.example")
    );
    assert_eq!(
        format!("{bare} {full:?}"),
        "juliet@capulet.example \"juliet@capulet.example/balcony\""
    );
}
