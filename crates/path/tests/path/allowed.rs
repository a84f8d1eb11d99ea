//! Who may learn an address, and where an end connects to.

use xtls_path::xtls_stanza::path::Takes;
use xtls_path::{Dial, Kind, Settings, Wish};

use crate::city::{City, MS, S, home, relay, settings};
use crate::world::{CLIENT, SERVER};

const RELAYS: [&str; 2] = ["proxy.montague.example", "proxy.capulet.example"];

const fn is_direct(takes: Takes) -> bool {
    matches!(takes, Takes::Direct | Takes::Any)
}

/// Both ends have an address where they can be met.
fn at_home(policies: [Takes; 2], first_seen: [bool; 2]) -> [Settings; 2] {
    [0, 1].map(|end| {
        let mut settings = settings(end, policies[end]);
        settings.first_seen = first_seen[end];
        settings.advertise = vec![home(end)];
        settings
    })
}

/// Both ends have an address and a relay each, and everything happens that makes them tell of it.
fn lived(seed: u64, policies: [Takes; 2], first_seen: [bool; 2]) -> City {
    let mut city = City::with(seed, at_home(policies, first_seen));
    city.relays = RELAYS.map(|name| vec![relay(name)]);
    for round in 0..3 {
        city.seek(CLIENT);
        city.seek(SERVER);
        city.write(CLIENT, 1_000);
        city.write(SERVER, 1_000);
        city.pass(40 * S);
        city.kill(None);
        if round == 1 {
            city.kill_in_band(&[CLIENT, SERVER]);
        }
        city.pass(S);
    }
    city.pass(30 * S);
    city.all_arrived();
    city
}

#[test]
fn no_address_leaves_beyond_the_policy() {
    let mut seed = 0;
    for client in Takes::ALL {
        for server in Takes::ALL {
            for first_seen in [[false, false], [true, false], [false, true], [true, true]] {
                seed += 1;
                let policies = [client, server];
                let city = lived(seed, policies, first_seen);
                for end in [CLIENT, SERVER] {
                    let about = format!("seed {seed}, end {end}, {policies:?}, {first_seen:?}");
                    let direct = is_direct(policies[end]) && !first_seen[end];
                    let own = RELAYS[end];
                    for (host, kind) in city.log.told(end) {
                        match kind {
                            Kind::Direct => {
                                assert!(direct && host == home(end).0.as_str(), "{about}")
                            }
                            _ => assert!(policies[end] != Takes::InBand && host == own, "{about}"),
                        }
                    }
                    for signal in &city.log.said[end] {
                        let text = String::from_utf8(signal.write()).unwrap();
                        assert!(
                            direct || !text.contains(home(end).0.as_str()),
                            "{about}: {text}"
                        );
                    }
                    for (host, kind) in &city.log.dialled[end] {
                        match kind {
                            Kind::Direct => {
                                assert!(direct && *host == home(1 - end).0.as_str(), "{about}")
                            }
                            _ => match policies[end] {
                                Takes::InBand => panic!("{about}"),
                                Takes::Own | Takes::Direct => assert_eq!(host, own, "{about}"),
                                Takes::Any if first_seen[end] => assert_eq!(host, own, "{about}"),
                                Takes::Proxy | Takes::Any => {}
                            },
                        }
                    }
                    for wish in &city.log.wishes[end] {
                        match wish {
                            Wish::Expect { .. } => assert!(direct, "{about}"),
                            Wish::Dial {
                                how: Dial::Relay { ours, .. },
                                host,
                                ..
                            } => {
                                assert_eq!(*ours, host.as_str() == own, "{about}");
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_policies_of_both_ends_give() {
    for client in Takes::ALL {
        for server in Takes::ALL {
            let policies = [client, server];
            let mut city = City::with(1, at_home(policies, [false; 2]));
            city.relays = RELAYS.map(|name| vec![relay(name)]);
            city.seek(CLIENT);
            city.seek(SERVER);
            city.pass(30 * S);
            let proxy = |takes| matches!(takes, Takes::Proxy | Takes::Any);
            let hints = |takes| takes != Takes::InBand;
            let kind = if is_direct(client) && is_direct(server) {
                Kind::Direct
            } else if proxy(client) && hints(server) || proxy(server) && hints(client) {
                Kind::Relay
            } else {
                Kind::InBand
            };
            assert_eq!(city.kinds(), [Some(kind); 2], "{policies:?}");
        }
    }
}

#[test]
fn a_key_that_is_verified_opens_what_was_closed_to_a_stranger() {
    for first in [CLIENT, SERVER] {
        for pause in [0, 100, 3_000] {
            let mut city = City::with(3, at_home([Takes::Any; 2], [true; 2]));
            city.relays = RELAYS.map(|name| vec![relay(name)]);
            city.seek(CLIENT);
            city.seek(SERVER);
            city.pass(20 * S);
            assert_eq!(city.kinds(), [Some(Kind::InBand); 2]);
            city.verified(first);
            city.pass(pause * MS);
            assert!(
                !city.log.dialled[1 - first]
                    .iter()
                    .any(|(_, kind)| *kind == Kind::Direct),
                "the other end has not compared anything yet"
            );
            city.verified(1 - first);
            city.pass(30 * S);
            assert_eq!(city.kinds(), [Some(Kind::Direct); 2], "{first} {pause}");
        }
    }
}

#[test]
fn a_key_that_is_verified_moves_nothing_that_was_not_to_move() {
    let mut city = City::with(4, at_home([Takes::Any; 2], [true; 2]));
    city.verified(CLIENT);
    city.verified(SERVER);
    city.pass(30 * S);
    assert!(city.log.said.iter().all(Vec::is_empty));
    assert_eq!(city.kinds(), [Some(Kind::InBand); 2]);
}
