//! What is waited for while a tunnel may move.

use crate::city::{MS, S, Temper, relay};
use crate::moves::{RELAY, talk, with_a_relay};
use crate::world::CLIENT;

#[test]
fn what_breaks_off_while_a_better_path_is_waited_for_is_waited_for_no_more() {
    for late in 0..60 {
        let mut city = with_a_relay(late);
        let silent = "silent.montague.example";
        city.tempers.insert(silent.into(), Temper::Silent);
        let both = vec![relay(silent), relay(RELAY)];
        city.relays = [both.clone(), both];
        city.seek(CLIENT);
        city.pass(u32::try_from(late).unwrap() * 15 * MS);
        city.kill(Some(RELAY));
        // A timer that is due, and stays so, fails here.
        city.pass(30 * S);
        talk(&mut city, 20);
        city.pass(5 * S);
        city.all_arrived();
    }
}
