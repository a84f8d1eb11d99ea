//! Tunnels with paths whose end is not in order: what the other end makes of it.

use xtls_path::Kind;
use xtls_stanza::Content;
use xtls_stanza::path::Takes;

use super::moving::{a_second_old, told};
use super::*;
use crate::router::PathEvent;

#[test]
fn a_tunnel_that_one_end_cuts_ends_at_the_other_at_once_and_as_cut() {
    for policies in [[Takes::InBand; 2], [Takes::Proxy; 2]] {
        for cutter in [A, B] {
            let (mut world, ids) = a_second_old(policies);
            let moved = policies[A] == Takes::Proxy;
            assert_eq!(
                told(&world, A, ids[A]).contains(&PathEvent::Moved(Kind::Relay)),
                moved
            );
            world
                .tunnel(cutter, ids[cutter])
                .write(b"half of it")
                .unwrap();
            world.settle();
            let other = 1 - cutter;
            assert!(world.tunnel(other, ids[other]).read(100).is_some());
            world.settle();
            world.tunnel(cutter, ids[cutter]).abort();
            world.settle();
            world.wait(Duration::from_millis(100));
            let closed = world.closed(other, ids[other]);
            assert!(!closed.clean, "{closed:?}");
            // A socket may end before the signal has come, which has taken the way through the servers.
            if !moved {
                assert!(!told(&world, other, ids[other]).contains(&PathEvent::Lost));
                let answers = world.log.iter().filter(|(end, _)| *end == cutter);
                let refused =
                    answers.filter(|(_, envelope)| matches!(&envelope.content, Content::Error(_)));
                assert_eq!(refused.count(), 0, "who has cut it is asked for nothing");
            }
            for end in [A, B] {
                assert_eq!(world.ends[end].router.leftovers(), 0);
            }
        }
    }
}
