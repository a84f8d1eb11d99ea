//! What the sender knows of the receiver's disk while a file is on its way.

use super::*;

/// Sends a file over a pipe that holds so little, and says which offsets the sender has been told.
fn offsets(length: usize, holds: usize) -> Vec<u64> {
    let world = World::new();
    write(world.from.path(), "file", &noise(1, length));
    let mut offsets = Vec::new();
    let hear = |event: Sending<'_>| {
        if let Sending::Stored { offset, .. } = event {
            offsets.push(offset);
        }
    };
    let (sent, received) = runtime().block_on(async {
        let (one, other) = duplex(holds);
        let decide = |_| async { Decision::Accept };
        tokio::join!(
            send(one, world.sources(), hear),
            receive(other, world.destination(), decide, |_| {})
        )
    });
    assert_eq!(sent.unwrap().done, 1);
    received.unwrap();
    world.is_whole();
    offsets
}

#[test]
fn the_first_of_a_block_is_told_before_the_rest_of_it_has_come() {
    let offsets = offsets(300_000, 8_192);
    assert!(offsets[0] <= 8_192, "{offsets:?}");
}

#[test]
fn the_rest_is_told_in_steps_that_are_worth_it_and_to_the_last_byte() {
    let offsets = offsets(300_000, 8_192);
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert_eq!(offsets.last(), Some(&300_000));
    // More of them only where the disk is slow.
    assert!(offsets.len() < 300_000 / 8_192, "{offsets:?}");
}
