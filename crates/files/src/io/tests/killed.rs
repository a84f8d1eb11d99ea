//! The receiver's program is gone after any step on its disk, as after a `kill -9`, and is started again.

use super::*;

#[test]
fn after_a_kill_at_any_step_everything_is_complete_or_absent_and_the_rest_follows() {
    let mut kills = 0;
    for steps in 0.. {
        let world = World::filled();
        let probe = Probe::kill_after(steps);
        let (_, received) = world.transfer_to(world.destination().probe(probe.clone()));
        if !probe.has_come() {
            received.unwrap();
            break;
        }
        kills += 1;
        assert!(received.is_err());
        let from = tree(world.from.path());
        for (name, content) in tree(world.to.path()) {
            if !name.contains(".xtls-part") {
                assert!(
                    from.get(&name) == Some(&content),
                    "{name} is wrong after {steps}"
                );
            }
        }
        let (sent, received) = world.transfer_to(world.destination());
        sent.unwrap();
        received.unwrap();
        world.is_whole();
    }
    assert!(kills > 40, "{kills}");
}
