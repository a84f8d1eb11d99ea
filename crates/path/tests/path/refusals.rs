//! Servers that refuse, withhold, or have no room: the tunnel stays what it is.

use xtls_path::xtls_stanza::path::{Takes, Why};
use xtls_path::{Kind, Role, RouteEvent, Stay};

use crate::city::{City, S, Temper, relay};
use crate::lone::{Lone, RELAY, hints, relayed};
use crate::world::{CLIENT, SERVER};

#[test]
fn no_failure_of_a_signal_harms_a_tunnel_that_has_a_leg() {
    for gone in [false, true] {
        let mut city = City::new(2, [Takes::Own; 2]);
        city.relays = [vec![relay(RELAY)], vec![]];
        city.faults.refused = [true, true];
        city.faults.gone = gone;
        city.seek(CLIENT);
        city.pass(30 * S);
        assert_eq!(city.kinds(), [Some(Kind::InBand); 2]);
        assert!(city.log.heard(
            CLIENT,
            RouteEvent::Stayed {
                why: Stay::Unanswered
            }
        ));
        city.write(CLIENT, 1_000);
        city.pass(5 * S);
        city.all_arrived();
        city.at_rest();
    }
}

#[test]
fn a_late_failure_of_an_earlier_attempt_ends_no_later_one() {
    let mut lone = Lone::of(Role::Server, Takes::Own);
    lone.route.seek(lone.now);
    assert_eq!(lone.signals().len(), 1);
    lone.says(hints(2, Why::Faster, vec![relayed(1, RELAY)]));
    lone.route.signal_failed(lone.now, 1, false);
    assert!(lone.route.is_attempting());
    lone.route.signal_failed(lone.now, 2, false);
    assert!(!lone.route.is_attempting());
}

#[test]
fn a_server_that_withholds_all_signals_keeps_the_tunnel_in_band() {
    for mute in [[true, false], [false, true], [true, true]] {
        let mut city = City::new(3, [Takes::Own; 2]);
        city.relays = [vec![relay(RELAY)], vec![relay(RELAY)]];
        city.faults.mute = mute;
        city.seek(CLIENT);
        city.seek(SERVER);
        city.write(SERVER, 10_000);
        city.pass(60 * S);
        city.all_arrived();
        assert_eq!(city.kinds(), [Some(Kind::InBand); 2]);
        city.at_rest();
    }
}

#[test]
fn a_relay_with_no_room_is_not_asked_again_for_ten_minutes() {
    let mut city = City::new(4, [Takes::Proxy; 2]);
    city.relays = [vec![relay(RELAY)], vec![]];
    city.tempers.insert(RELAY.into(), Temper::Limited);
    city.seek(CLIENT);
    city.pass(5 * S);
    city.tempers.insert(RELAY.into(), Temper::Good);
    city.seek(CLIENT);
    city.pass(590 * S);
    city.seek(CLIENT);
    city.pass(5 * S);
    assert_eq!(city.kinds(), [Some(Kind::InBand); 2]);
    assert_eq!(city.log.told(CLIENT).len(), 1);
    city.pass(10 * S);
    city.seek(CLIENT);
    city.pass(5 * S);
    assert_eq!(city.kinds(), [Some(Kind::Relay); 2]);
}
