//! Byte mode.

use proptest::prelude::*;
use xtls_session::{By, Config, SendError, Why};
use xtls_tls::trust::Policy;
use xtls_tls::{Role, Tls};

use super::support::{End as _, Ours, Setup, settle, settle_cut};

/// Reads all there is.
fn read(end: &mut Ours) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(bytes) = end.session.read(1_000) {
        read.extend_from_slice(&bytes);
        end.collect();
    }
    end.collect();
    read
}

#[test]
fn bytes_go_both_ways() {
    let (mut romeo, mut juliet) = Setup::bytes().connected();
    assert_eq!(romeo.session.write(b"to Juliet"), Ok(9));
    assert_eq!(juliet.session.write(b"to Romeo"), Ok(8));
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["readable"]);
    assert_eq!(read(&mut romeo), b"to Romeo");
    assert_eq!(read(&mut juliet), b"to Juliet");
    assert_eq!(juliet.session.read(10), None);
}

#[test]
fn the_confirmation_is_not_part_of_the_stream() {
    let setup = Setup::bytes();
    let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
    settle(&mut romeo, &mut stranger);
    stranger.say("  first", &mut romeo);
    assert_eq!(romeo.names(), ["ready", "established", "readable"]);
    // One space was the confirmation, the other one was said.
    assert_eq!(read(&mut romeo), b" first");
}

#[test]
fn any_other_first_byte_is_fatal() {
    for first in [b'x', b'\n', b'\t', 0, 0xFF] {
        let setup = Setup::bytes();
        let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
        settle(&mut romeo, &mut stranger);
        assert_eq!(romeo.session.write(b"early"), Ok(5));
        stranger.write([first, b' ']);
        romeo.feed(&stranger.take());
        settle(&mut romeo, &mut stranger);
        let close = romeo.closed();
        assert_eq!(romeo.names(), ["ready", "closed"]);
        assert_eq!((close.by, close.why), (By::Us, Why::Confirmation(first)));
        assert_eq!(close.unconfirmed, 5);
        assert!(!stranger.was_told());
    }
}

#[test]
fn the_responder_takes_the_first_byte_as_it_is() {
    let (mut juliet, mut stranger) = Setup::bytes().juliet_and_stranger();
    stranger.say(" x", &mut juliet);
    assert_eq!(read(&mut juliet), b" x");
}

#[test]
fn nothing_is_read_before_the_verdict_and_nothing_is_written() {
    let setup = Setup::bytes().strangers();
    let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
    settle(&mut juliet, &mut stranger);
    stranger.say("early", &mut juliet);
    assert_eq!(juliet.names(), ["judge"]);
    assert_eq!(juliet.session.read(10), None);
    assert_eq!(juliet.session.write(b"x"), Err(SendError::NotOpen));
    juliet.judge(xtls_session::Verdict::Accept).unwrap();
    juliet.collect();
    assert_eq!(juliet.names(), ["judge", "established", "readable"]);
    assert_eq!(read(&mut juliet), b"early");
}

#[test]
fn each_direction_ends_by_itself_and_the_end_follows_the_last_byte() {
    let (mut romeo, mut juliet) = Setup::bytes().connected();
    romeo.session.write(b"all").unwrap();
    romeo.session.finish(romeo.now);
    assert_eq!(romeo.session.write(b"more"), Err(SendError::Finished));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names(), ["readable"]);
    assert_eq!(juliet.session.read(1).unwrap(), "a");
    juliet.collect();
    assert_eq!(juliet.names(), ["readable"]);
    assert_eq!(read(&mut juliet), b"ll");
    assert_eq!(juliet.names(), ["readable", "peer finished"]);
    juliet.session.write(b"answer").unwrap();
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(read(&mut romeo), b"answer");
    assert_eq!(romeo.closed().why, Why::Finished);
    assert_eq!(juliet.closed().why, Why::Finished);
}

#[test]
fn a_cut_is_told_after_the_last_byte() {
    let (mut romeo, mut juliet) = Setup::bytes().connected();
    romeo.session.write(b"half of i").unwrap();
    juliet.feed(&romeo.take());
    juliet.cut();
    assert_eq!(juliet.names(), ["readable"]);
    assert!(!juliet.session.wants_wire());
    assert_eq!(read(&mut juliet), b"half of i");
    let close = juliet.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Transport, Why::Truncated, false)
    );
}

#[test]
fn a_bounded_close_does_not_wait_for_a_reader_that_has_gone() {
    let (mut romeo, mut juliet) = Setup::bytes().connected();
    romeo.session.write(b"unread").unwrap();
    romeo.session.finish(romeo.now);
    juliet.feed(&romeo.take());
    juliet.session.close(juliet.now);
    juliet.take();
    assert_eq!(juliet.expire(), "close");
    let close = juliet.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::CloseTimeout, false)
    );
}

#[test]
fn an_end_drops_what_was_not_read_and_says_so() {
    let (mut romeo, mut juliet) = Setup::bytes().connected();
    romeo.session.write(b"unread").unwrap();
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    juliet.session.abort();
    assert_eq!(juliet.session.read(10), None);
    let close = juliet.closed();
    assert_eq!((close.why, close.clean), (Why::Aborted, false));
}

#[test]
fn readable_is_told_once_until_it_is_heard_and_not_of_what_is_gone() {
    let (mut romeo, mut juliet) = Setup::bytes().connected();
    for _ in 0..3 {
        romeo.session.write(b"more").unwrap();
        let wire = romeo.take();
        juliet.session.handle_wire(juliet.now, &wire);
    }
    juliet.collect();
    assert_eq!(juliet.names(), ["readable"]);
    romeo.session.write(b"more").unwrap();
    juliet.session.handle_wire(juliet.now, &romeo.take());
    juliet.session.abort();
    juliet.collect();
    assert_eq!(juliet.names(), ["readable", "closed"]);
}

#[test]
fn no_more_is_written_than_there_is_room_for() {
    let config = Config::default().queue(1_000);
    let (mut romeo, _juliet) = Setup::bytes().with(config).connected();
    let data = vec![7; 5_000];
    assert_eq!(romeo.session.write(&data), Ok(978));
    assert_eq!(romeo.session.write(&data), Err(SendError::Full));
    // As one record it is as long as the queue.
    assert_eq!(
        romeo.session.poll_wire(usize::MAX).map(|wire| wire.len()),
        Some(1_000)
    );
    romeo.collect();
    assert_eq!(romeo.names(), ["writable"]);
}

#[test]
fn a_queue_for_less_than_a_record_lets_a_byte_through() {
    let config = Config::default().queue(10);
    let (mut romeo, mut juliet) = Setup::bytes().with(config).connected();
    for _ in 0..3 {
        assert_eq!(romeo.session.write(b"abc"), Ok(1));
        assert_eq!(romeo.session.write(b"bc"), Err(SendError::Full));
        settle(&mut romeo, &mut juliet);
    }
    assert_eq!(read(&mut juliet), b"aaa");
}

#[test]
fn the_last_bytes_need_no_room_and_an_end_in_order_follows_them() {
    let config = Config::default().queue(1_000);
    let (mut romeo, mut juliet) = Setup::bytes().with(config).connected();
    assert_eq!(romeo.session.write(&[7; 5_000]), Ok(978));
    assert_eq!(romeo.session.close_after(romeo.now, &[8; 5_000]), Ok(()));
    assert_eq!(romeo.session.traffic().written, 5_978);
    settle(&mut romeo, &mut juliet);
    juliet.session.finish(juliet.now);
    let heard = read(&mut juliet);
    assert_eq!(heard, [vec![7; 978], vec![8; 5_000]].concat());
    assert_eq!(juliet.session.traffic().read, 5_978);
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.closed().why, Why::Finished);
    // There is nothing after the end.
    let late = romeo.session.close_after(romeo.now, b"x");
    assert_eq!(late, Err(SendError::Finished));
    let (mut romeo, _) = Setup::stanzas().connected();
    let wrong = romeo.session.close_after(romeo.now, b"x");
    assert!(matches!(wrong, Err(SendError::Mode(_))));
}

#[test]
fn no_more_is_written_than_tls_holds() {
    let setup = Setup::bytes();
    let store = setup.store(Role::Client);
    let expect = setup.binding(Role::Client).expect(store, Policy::Ask);
    let config = setup.tls_config(Role::Client).max_pending(1_000);
    let tls = Tls::new(Role::Client, &config, expect).unwrap();
    let (mut romeo, mut juliet) = (setup.end_over(Role::Client, tls), setup.juliet());
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.session.write(&[7; 5_000]), Ok(1_000));
    assert_eq!(romeo.session.write(&[7; 5_000]), Err(SendError::Full));
}

#[test]
fn a_reader_that_is_slow_slows_the_wire() {
    let config = Config::default().backlog(1_000);
    let (mut romeo, mut juliet) = Setup::bytes().with(config).connected();
    assert!(juliet.session.wants_wire());
    romeo.session.write(&[7; 1_500]).unwrap();
    settle(&mut romeo, &mut juliet);
    assert!(!juliet.session.wants_wire());
    juliet.session.read(501).unwrap();
    assert!(juliet.session.wants_wire());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bytes_out_are_bytes_in_at_any_cutting(
        writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..10),
        cut in prop_oneof![Just(1_usize), 2..100_usize, Just(usize::MAX)],
        queue in 1..5_000_usize,
        backlog in 1..5_000_usize,
    ) {
        let config = Config::default().queue(queue).backlog(backlog);
        let setup = Setup::bytes().with(config);
        let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
        settle_cut(&mut romeo, &mut juliet, cut);
        let mut heard = Vec::new();
        for data in &writes {
            let mut rest = &data[..];
            while !rest.is_empty() {
                match romeo.session.write(rest) {
                    Ok(taken) => rest = &rest[taken..],
                    Err(error) => prop_assert_eq!(error, SendError::Full),
                }
                settle_cut(&mut romeo, &mut juliet, cut);
                heard.extend(read(&mut juliet));
            }
        }
        romeo.session.finish(romeo.now);
        juliet.session.finish(juliet.now);
        settle_cut(&mut romeo, &mut juliet, cut);
        prop_assert_eq!(heard, writes.concat());
        prop_assert_eq!(juliet.closed().why, Why::Finished);
        prop_assert_eq!(romeo.closed().why, Why::Finished);
    }
}
