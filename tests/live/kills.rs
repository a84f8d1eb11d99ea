//! `xtls send` and `xtls receive` killed at any moment, and what they need for much and for many.
//!
//! `XTLS_KILLS`, `XTLS_FILES` and `XTLS_SPARSE` (MiB) make it more than a test has time for; `XTLS_SEED` repeats a run.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinHandle;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, Running};
use xtls_tests::live::server::Server;

use crate::files::{file, folder, receiver, sender};

fn number(name: &str, otherwise: u32) -> u32 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

/// How far the sender has read a file that it sends: before each piece it looks there for a hole.
fn read_by(sender: &Running, file: &Path) -> Option<u64> {
    let folder = format!("/proc/{}", sender.id());
    let handles = fs::read_dir(format!("{folder}/fd")).ok()?;
    let mut handles = handles.filter_map(Result::ok);
    let handle =
        handles.find(|handle| fs::read_link(handle.path()).is_ok_and(|path| path == file))?;
    let name = handle.file_name().into_string().ok()?;
    let info = fs::read_to_string(format!("{folder}/fdinfo/{name}")).ok()?;
    let at: u64 = info
        .lines()
        .find_map(|line| line.strip_prefix("pos:"))?
        .trim()
        .parse()
        .ok()?;
    let size = fs::metadata(file).ok()?.len();
    Some(size.min(at + PIECE))
}

/// Where it went on, if it came so far.
fn resumed_at(sender: &Ended) -> Option<u64> {
    sender.event("resumed_file")?["offset"].as_u64()
}

/// The most that the receiver has said to have.
fn confirmed(sender: &Ended) -> u64 {
    let stored = |event: &Value| event["stored"].as_u64();
    sender
        .event("progress")
        .as_ref()
        .and_then(stored)
        .unwrap_or_default()
}

/// After a kill at any moment of a whole run, of either side, the file is there and right, or not there; and the next run goes on
/// from what was confirmed, or beyond it.
#[tokio::test]
async fn a_kill_at_any_moment_leaves_the_whole_file_or_none() {
    let (kills, seed) = (number("XTLS_KILLS", 6), number("XTLS_SEED", 1));
    println!("XTLS_KILLS={kills} XTLS_SEED={seed}");
    let mut dice = ChaCha20Rng::seed_from_u64(seed.into());
    let (romeo, juliet) = Person::pair(&Server::free());
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    let (from, to) = (out.join("report.pdf"), inbox.join("report.pdf"));
    let mut content = file(&from, SIZE, dice.next_u64());
    // What was sent, and what of it was confirmed, by all runs that were killed.
    let (mut sent, mut stored) = (0, 0);
    let (mut again, mut most, mut rounds, mut whole) = (0, 0, 0_u64, 0);
    let more = ["--yes", "--limit", "opens-per-minute-known=100000"];
    for kill in 0..kills {
        let receiver = receiver(&romeo, &juliet, "kill", &inbox, &more).await;
        let mut sender = sender(&romeo, &juliet, "kill", &[&from]);
        // A quarter of them before anything is known to have arrived, at any step of the login and the offer.
        if dice.next_u32() % 4 > 0 {
            sender.event("progress").await;
        }
        // Most come soon, some when it is complete.
        let latest = [200, 200, 600, 1_800][dice.next_u32() as usize % 4];
        let moment = Duration::from_millis(u64::from(dice.next_u32() % latest));
        tokio::time::sleep(moment).await;
        let read = if kill % 2 == 0 {
            receiver.signal("KILL").await;
            sender.signal("STOP").await;
            let read = read_by(&sender, &from);
            sender.signal("TERM").await;
            sender.signal("CONT").await;
            read
        } else {
            sender.signal("STOP").await;
            let read = read_by(&sender, &from);
            sender.signal("KILL").await;
            receiver.signal("TERM").await;
            read
        };
        let (sender, _) = (sender.end().await, receiver.end().await);
        if let Some(offset) = resumed_at(&sender) {
            assert!(
                offset >= stored,
                "kill {kill}: {offset} of {stored} confirmed bytes"
            );
            let twice = u64::saturating_sub(sent, offset);
            assert!(twice <= MOST, "kill {kill}: {twice} bytes were sent again");
            (again, most, rounds) = (again + twice, u64::max(most, twice), rounds + 1);
            sent = 0;
        }
        println!(
            "{kill}: began at {:?}, read up to {read:?}",
            resumed_at(&sender)
        );
        sent = u64::max(sent, read.unwrap_or_default());
        stored = u64::max(stored, confirmed(&sender));
        let mut there: Vec<_> = fs::read_dir(&inbox)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        there.retain(|name| !name.to_string_lossy().ends_with(".xtls-part"));
        if there.is_empty() {
            continue;
        }
        assert_eq!(there, ["report.pdf"], "kill {kill}");
        assert!(
            fs::read(&to).unwrap() == content,
            "kill {kill}: the content is wrong"
        );
        fs::remove_file(&to).unwrap();
        content = file(&from, SIZE, dice.next_u64());
        (sent, stored, whole) = (0, 0, whole + 1);
    }
    let receiver = receiver(&romeo, &juliet, "kill", &inbox, &more).await;
    sender(&romeo, &juliet, "kill", &[&from])
        .end()
        .await
        .expect(0);
    receiver.end().await.expect(0);
    assert!(fs::read(&to).unwrap() == content);
    println!(
        "{whole} of {kills} runs were complete; {rounds} went on from where another was killed, and sent {} bytes again on average, \
         {most} at most",
        again / rounds.max(1)
    );
}

/// Waits until so much of what comes into a folder is on the disk, and says how much it is.
async fn part_of(inbox: &Path, least: u64) -> u64 {
    loop {
        let entries = fs::read_dir(inbox).unwrap().filter_map(Result::ok);
        let lengths = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
        let length = lengths.max().unwrap_or_default();
        if length >= least {
            return length;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_wait_after_an_interruption_is_short_again_once_more_has_arrived() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    let from = out.join("report.pdf");
    let content = file(&from, 6_000_000, 1);
    let start = async || receiver(&romeo, &juliet, "waits", &inbox, &["--yes"]).await;
    let mut receiver = start().await;
    let mut sender = sender(&romeo, &juliet, "waits", &[&from]);
    let mut there = 0;
    for _ in 0..2 {
        // More than what may be on its way: the sender knows of some of it.
        there = part_of(&inbox, there + 2 * MOST).await;
        receiver.signal("TERM").await;
        receiver.end().await.expect(130);
        let waits = sender.event("waiting_for_peer").await;
        assert_eq!(waits["retry"], 2, "{waits}");
        receiver = start().await;
    }
    sender.end().await.expect(0);
    receiver.end().await.expect(0);
    assert!(fs::read(inbox.join("report.pdf")).unwrap() == content);
}

/// The most memory that a process has had so far, in KiB, until it ends.
fn watch(process: &Running) -> JoinHandle<u64> {
    let path = format!("/proc/{}/status", process.id());
    tokio::spawn(async move {
        let mut most = 0;
        while let Ok(status) = fs::read_to_string(&path) {
            let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
                break;
            };
            most = line.trim().trim_end_matches(" kB").parse().unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        most
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_and_a_large_hole_need_little_memory_at_both_ends() {
    let (files, sparse) = (number("XTLS_FILES", 600), number("XTLS_SPARSE", 64));
    println!("XTLS_FILES={files} XTLS_SPARSE={sparse}");
    let (romeo, juliet) = Person::pair(&Server::free());
    let (out, inbox) = (folder(&romeo, "out/many"), folder(&juliet, "in"));
    for number in 0..files {
        let folder = out.join(format!("{}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join(format!("{number}.txt")),
            format!("file {number}"),
        )
        .unwrap();
    }
    let disk = fs::File::create(out.join("disk")).unwrap();
    let size = u64::from(sparse) << 20;
    disk.set_len(size).unwrap();
    disk.write_all_at(b"somewhere in it", size / 3).unwrap();
    let receiver = receiver(&romeo, &juliet, "many", &inbox, &["--yes"]).await;
    let sender = sender(&romeo, &juliet, "many", &[&out]);
    let (at_hers, at_his) = (watch(&receiver), watch(&sender));
    sender.end().await.expect(0);
    receiver.end().await.expect(0);
    let (hers, his) = (at_hers.await.unwrap(), at_his.await.unwrap());
    println!("the receiver has had {hers} KiB, the sender {his} KiB");
    for memory in [hers, his] {
        assert!((1_024..=65_536).contains(&memory), "{memory} KiB");
    }
    let disk = inbox.join("many/disk");
    let found = fs::File::open(&disk).unwrap();
    let mut text = [0; 15];
    found.read_exact_at(&mut text, size / 3).unwrap();
    assert_eq!(
        (&text, found.metadata().unwrap().len()),
        (b"somewhere in it", size)
    );
    use std::os::unix::fs::MetadataExt as _;
    assert!(found.metadata().unwrap().blocks() < 2_048, "holes are kept");
    for number in (0..files).step_by(97) {
        let path = inbox.join(format!("many/{}/{number}.txt", number / 100));
        assert_eq!(fs::read_to_string(path).unwrap(), format!("file {number}"));
    }
}

/// What a sender reads at once.
const PIECE: u64 = 65_536;

/// What may be sent again after a kill.
const MOST: u64 = 262_144;

/// Bytes of the file, which takes some runs.
const SIZE: usize = 1_500_000;
