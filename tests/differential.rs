//! The fuzz targets, for as long as a test may run: their corpora, and the same mutations of them every time.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use std::path::Path;

use xtls_tests::fuzz::{Target, plain};

/// Inputs per target. `cargo xtask fuzz` tries more.
const COUNT: u64 = 20_000;

fn corpora() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"))
}

#[track_caller]
fn no_finding(target: Target) {
    match plain(target, corpora(), 20_081_208, |count| count < COUNT) {
        Ok(count) => assert!(count >= COUNT, "{count}"),
        Err(finding) => panic!("{finding}"),
    }
}

#[test]
fn any_cutting_gives_the_frames_that_rxml_and_expat_see() {
    no_finding(Target::Framer);
}

#[test]
fn what_is_written_is_read_as_the_same() {
    no_finding(Target::Stanza);
}

#[test]
fn what_we_accept_rxml_and_expat_accept_with_the_same_tree() {
    no_finding(Target::Differential);
}

#[test]
fn base64_is_that_of_the_slow_and_obvious_codec() {
    no_finding(Target::Base64);
}

#[test]
fn bytes_out_are_bytes_in_through_any_row_of_calls_faults_and_lies() {
    no_finding(Target::Ibb);
}

#[test]
fn any_cutting_of_what_a_server_says_gives_the_same_stream() {
    no_finding(Target::Link);
}

#[test]
fn neither_a_component_nor_a_servers_end_is_misled_by_what_it_is_told() {
    no_finding(Target::Parties);
}

#[test]
fn any_cutting_of_what_a_peer_says_on_a_leg_gives_the_same_wire() {
    no_finding(Target::Path);
}

#[test]
fn what_a_signal_is_read_as_it_is_written_as() {
    no_finding(Target::Signal);
}

#[test]
fn any_cutting_of_what_is_said_over_socks_ends_the_same() {
    no_finding(Target::S5b);
}

/// The seeds are documents that some parser once read differently.
#[test]
fn the_documents_known_to_be_bad_are_among_the_seeds() {
    let folder = corpora().join(Target::Differential.name());
    let seeds = std::fs::read_dir(folder).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|extension| extension == "xml")
    });
    assert!(seeds.count() >= 129);
}
