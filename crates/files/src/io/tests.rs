//! Both faces, over a pipe in memory and real folders.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use tempfile::TempDir;
use tokio::io::duplex;

use super::destination::*;
use super::receive::*;
use super::send::*;
use super::*;
use crate::disk::probe::Probe;
use crate::disk::settle::Existing;
use crate::reason::Reason;
use crate::source::Sources;
use crate::turn::Outcome;

mod kept;
mod killed;
mod told;

/// Content that does not get smaller, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next)
        .flatten()
        .take(length)
        .collect()
}

fn write(folder: &Path, path: &str, content: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Every file below a folder with its content, unfinished ones too.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(here) = ahead.pop() {
        for child in fs::read_dir(here).unwrap() {
            let path = child.unwrap().path();
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            match path.is_dir() {
                true => {
                    files.insert(format!("{name}/"), Vec::new());
                    ahead.push(path);
                }
                false => {
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
    }
    files
}

struct World {
    from: TempDir,
    to: TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            from: tempfile::tempdir().unwrap(),
            to: tempfile::tempdir().unwrap(),
        }
    }

    /// Something of everything: small files, an empty one, large ones, one that gets smaller, a hole, folders.
    fn filled() -> Self {
        let world = Self::new();
        let from = world.from.path();
        write(from, "photos/a.jpg", &noise(1, 300_000));
        write(from, "photos/2020/b.jpg", &noise(2, 70_000));
        write(from, "photos/2020/empty", b"");
        write(from, "photos/2020/.hidden", b"small");
        write(
            from,
            "text",
            &b"all work and no play makes jack a dull boy\n".repeat(9_000),
        );
        fs::create_dir_all(from.join("photos/none")).unwrap();
        let mut sparse = noise(3, 100_000);
        sparse.extend(vec![0; 700_000]);
        sparse.extend(noise(4, 10));
        sparse.extend(vec![0; 100_000]);
        write(from, "sparse", &sparse);
        world
    }

    fn sources(&self) -> Sources {
        let mut names: Vec<_> = fs::read_dir(self.from.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        Sources::collect(names).unwrap()
    }

    fn destination(&self) -> Destination {
        Destination::new(self.to.path(), "romeo@montague.example")
    }

    /// Sends everything, and stops after so many bytes have gone over.
    fn transfer_to(
        &self,
        destination: Destination,
    ) -> (Result<Outcome, SendError>, Result<Received, ReceiveError>) {
        runtime().block_on(async {
            let (one, other) = duplex(100_000);
            let decide = |_| async { Decision::Accept };
            tokio::join!(
                send(one, self.sources(), |_| {}),
                receive(other, destination, decide, |_| {})
            )
        })
    }

    fn is_whole(&self) {
        let (from, to) = (tree(self.from.path()), tree(self.to.path()));
        assert_eq!(
            to.keys().collect::<Vec<_>>(),
            from.keys().collect::<Vec<_>>()
        );
        assert!(from == to, "contents differ");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn everything_arrives_as_it_was() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let world = World::filled();
    let text = world.from.path().join("text");
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    let (sent, received) = world.transfer_to(world.destination());
    let outcome = sent.unwrap();
    assert_eq!(outcome.failed + outcome.skipped, 0);
    let received = received.unwrap();
    assert_eq!((received.outcome, received.known), (outcome, true));
    assert_eq!(received.folders, ["photos"]);
    world.is_whole();
    let metadata = |folder: &TempDir, name: &str| fs::metadata(folder.path().join(name)).unwrap();
    for name in ["text", "sparse", "photos/a.jpg"] {
        let (from, to) = (metadata(&world.from, name), metadata(&world.to, name));
        assert_eq!(
            (from.mtime(), from.mtime_nsec()),
            (to.mtime(), to.mtime_nsec())
        );
        assert_eq!(from.mode() & 0o100, to.mode() & 0o100);
    }
    assert!(
        metadata(&world.to, "sparse").blocks() * 512 < 300_000,
        "holes are kept"
    );
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let world = World::filled();
    let date = std::time::SystemTime::UNIX_EPOCH;
    for name in ["text", "sparse"] {
        fs::File::options()
            .write(true)
            .open(world.from.path().join(name))
            .unwrap()
            .set_modified(date)
            .unwrap();
    }
    fs::remove_dir_all(world.from.path().join("photos")).unwrap();
    assert_eq!(world.transfer_to(world.destination()).0.unwrap().done, 2);
    assert_eq!(world.transfer_to(world.destination()).0.unwrap().skipped, 2);
    // The same size and the same date, but something else in it.
    let other = b"ALL work and no play makes jack a dull boy\n".repeat(9_000);
    let text = world.to.path().join("text");
    fs::write(&text, &other).unwrap();
    fs::File::options()
        .write(true)
        .open(&text)
        .unwrap()
        .set_modified(date)
        .unwrap();
    let outcome = world.transfer_to(world.destination()).0.unwrap();
    assert_eq!((outcome.done, outcome.skipped), (1, 1));
    assert_eq!(fs::read(&text).unwrap(), other);
    assert_eq!(
        fs::read(world.to.path().join("text (2)")).unwrap(),
        fs::read(world.from.path().join("text")).unwrap()
    );
}

#[test]
fn a_folder_that_is_there_already_is_neither_sent_again_nor_made_twice() {
    let world = World::filled();
    world.transfer_to(world.destination()).0.unwrap();
    // Something that was not offered does not matter.
    write(world.to.path(), "photos/mine", b"mine");
    let again = world.transfer_to(world.destination()).0.unwrap();
    assert_eq!((again.done, again.failed), (0, 0));
    assert_eq!(fs::read_dir(world.to.path()).unwrap().count(), 3);
    // The same size and the same date, but something else in it.
    let photo = world.to.path().join("photos/a.jpg");
    let date = fs::metadata(&photo).unwrap().modified().unwrap();
    fs::write(&photo, noise(9, 300_000)).unwrap();
    let file = fs::File::options().write(true).open(&photo).unwrap();
    file.set_modified(date).unwrap();
    let again = world.transfer_to(world.destination()).0.unwrap();
    assert_eq!((again.done, again.failed), (0, 1));
    assert!(fs::read(&photo).unwrap() == noise(9, 300_000));
    // One that lacks something is another folder.
    fs::remove_file(&photo).unwrap();
    let received = world.transfer_to(world.destination()).1.unwrap();
    assert_eq!(received.folders, ["photos (2)"]);
    let (from, to) = (tree(world.from.path()), tree(world.to.path()));
    for (name, content) in from.iter().filter(|(name, _)| name.starts_with("photos/")) {
        let name = name.replacen("photos", "photos (2)", 1);
        assert!(to.get(&name) == Some(content), "{name}");
    }
    // It is found under that name too.
    let again = world.transfer_to(world.destination()).0.unwrap();
    assert_eq!((again.done, again.failed), (0, 0));
}

#[test]
fn nothing_is_overwritten() {
    let world = World::new();
    write(world.from.path(), "a.txt", b"theirs");
    write(world.from.path(), "d/b", b"theirs");
    write(world.to.path(), "a.txt", b"mine");
    write(world.to.path(), "a (2).txt", b"mine too");
    write(world.to.path(), "d/b", b"mine");
    let received = world.transfer_to(world.destination()).1.unwrap();
    assert_eq!(received.folders, ["d (2)"]);
    let to = tree(world.to.path());
    let content = |name: &str| to.get(name).map(Vec::as_slice);
    assert_eq!(content("a.txt"), Some(&b"mine"[..]));
    assert_eq!(content("a (2).txt"), Some(&b"mine too"[..]));
    assert_eq!(content("a (3).txt"), Some(&b"theirs"[..]));
    assert_eq!(content("d/b"), Some(&b"mine"[..]));
    assert_eq!(content("d (2)/b"), Some(&b"theirs"[..]));
    let refusing = world.destination().existing(Existing::Refuse);
    let outcome = world.transfer_to(refusing).0.unwrap();
    // The folder is there by now, with its file.
    assert_eq!((outcome.skipped, outcome.done), (3, 0));
    assert!(!world.to.path().join("a (4).txt").exists());
}

#[test]
fn a_refusal_reaches_the_sender_with_its_reason_and_nothing_is_written() {
    let world = World::filled();
    let told = Told::new(Reason::Declined, "not today");
    let refuse = Decision::Refuse(told.clone());
    let (sent, received) = runtime().block_on(async {
        let (one, other) = duplex(1_000);
        let decide = |offer: Offer| async move {
            assert_eq!(offer.totals.files, 6);
            assert_eq!(offer.tops.len(), 3);
            refuse
        };
        tokio::join!(
            send(one, world.sources(), |_| {}),
            receive(other, world.destination(), decide, |_| {})
        )
    });
    assert!(matches!(sent, Err(SendError::Refused(why)) if why == told));
    assert!(matches!(received, Err(ReceiveError::Refused(why)) if why == told));
    assert!(tree(world.to.path()).is_empty());
}

#[test]
fn a_folder_that_is_no_entry_of_its_own_is_shown_to_whom_is_asked() {
    let mut tops = Vec::new();
    let received = runtime().block_on(async {
        let (mut one, other) = duplex(10_000);
        let frames = [
            &[1, 0, 0, 2, 1, 0][..],
            // An entry: a file of no bytes, `d/f`.
            &[0x10, 0, 0, 28, 0, 0],
            &[0; 20],
            &[0, 1, b'd', 0, 1, b'f'],
            &[0x11, 0, 0, 16, 0, 0, 0, 1],
            &[0; 12],
        ];
        one.write_all(&frames.concat()).await.unwrap();
        let to = tempfile::tempdir().unwrap();
        let decide = |offer: Offer| {
            tops.extend(offer.tops);
            async { Decision::Refuse(Reason::Declined.into()) }
        };
        receive(other, Destination::new(to.path(), "x"), decide, |_| {}).await
    });
    assert!(
        matches!(received, Err(ReceiveError::Refused(_))),
        "{received:?}"
    );
    assert_eq!(tops.len(), 1);
    assert_eq!((&*tops[0].path, tops[0].kind), ("d", crate::Kind::Folder));
}

#[test]
fn names_that_begin_with_a_dot_are_taken_only_if_that_is_wanted() {
    let world = World::new();
    write(world.from.path(), ".profile", b"rm -rf ~");
    let (sent, received) = world.transfer_to(world.destination());
    assert_eq!(
        (sent.unwrap().skipped, received.unwrap().outcome.skipped),
        (1, 1)
    );
    assert!(tree(world.to.path()).is_empty());
    assert_eq!(
        world
            .transfer_to(world.destination().hidden(true))
            .0
            .unwrap()
            .done,
        1
    );
}

#[test]
fn a_full_disk_is_an_error_at_both_ends_and_what_is_there_is_kept() {
    let world = World::filled();
    let full = Probe::fail_after(12, Errno::NOSPC);
    let (sent, received) = world.transfer_to(world.destination().probe(full));
    assert!(
        matches!(received, Err(ReceiveError::DiskFull { .. })),
        "{received:?}"
    );
    let Err(SendError::Ended(Ended::Aborted(told))) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(told.reason, Reason::DiskFull);
    assert!(!tree(world.to.path()).is_empty());
    world.transfer_to(world.destination()).1.unwrap();
    world.is_whole();
}

#[test]
fn a_file_that_cannot_be_stored_is_told_and_the_others_arrive() {
    let world = World::filled();
    let mut told_here = Vec::new();
    let mut told_there = Vec::new();
    let denied = world
        .destination()
        .probe(Probe::fail_after(4, Errno::ACCESS));
    let (sent, received) = runtime().block_on(async {
        let (one, other) = duplex(100_000);
        let sending = |event: Sending<'_>| {
            if let Sending::Failed { entry, told, here } = event {
                told_there.push((entry.path.clone(), told.reason, here));
            }
        };
        let receiving = |event: Receiving<'_>| {
            if let Receiving::Failed {
                entry, told, here, ..
            } = event
            {
                told_here.push((entry.path.clone(), told.reason, here));
            }
        };
        let decide = |_| async { Decision::Accept };
        tokio::join!(
            send(one, world.sources(), sending),
            receive(other, denied, decide, receiving)
        )
    });
    assert_eq!(sent.unwrap().failed, 1);
    assert_eq!(received.unwrap().outcome.failed, 1);
    assert_eq!((told_here.len(), told_there.len()), (1, 1));
    assert_eq!(
        (&told_here[0].0, told_here[0].1, told_here[0].2),
        (&told_there[0].0, Reason::Disk, true)
    );
    assert_eq!((told_there[0].1, told_there[0].2), (Reason::Disk, false));
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_told_and_nothing_of_it_stays() {
    let world = World::new();
    write(world.from.path(), "log", &noise(1, 900_000));
    let path = world.from.path().join("log");
    let mut reasons = Vec::new();
    let (sent, received) = runtime().block_on(async {
        let (one, other) = duplex(10_000);
        let sending = |event: Sending<'_>| {
            if let Sending::Failed { told, here, .. } = event {
                reasons.push((told.reason, here));
            } else if matches!(event, Sending::Began { .. }) {
                fs::write(&path, noise(2, 900_001)).unwrap();
            }
        };
        let decide = |_| async { Decision::Accept };
        tokio::join!(
            send(one, world.sources(), sending),
            receive(other, world.destination(), decide, |_| {})
        )
    });
    assert_eq!(reasons, [(Reason::Changed, true)]);
    assert_eq!(
        (sent.unwrap().failed, received.unwrap().outcome.failed),
        (1, 1)
    );
    assert!(tree(world.to.path()).is_empty());
}

#[test]
fn links_in_the_destination_are_not_followed() {
    use std::os::unix::fs::symlink;

    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "victim", b"mine");
    write(world.from.path(), "a", b"theirs");
    write(world.from.path(), "d/b", b"theirs");
    symlink(elsewhere.path().join("victim"), world.to.path().join("a")).unwrap();
    symlink(elsewhere.path(), world.to.path().join("d")).unwrap();
    // Also where the parts would be.
    for entry in world
        .sources()
        .entries()
        .filter(|entry| !entry.path.contains('/'))
    {
        let part = crate::disk::part_name("romeo@montague.example", entry);
        symlink(elsewhere.path(), world.to.path().join(part)).unwrap();
    }
    let received = world.transfer_to(world.destination()).1.unwrap();
    assert_eq!(received.outcome.done, 0);
    assert_eq!(tree(elsewhere.path()).len(), 1);
    assert_eq!(fs::read(elsewhere.path().join("victim")).unwrap(), b"mine");
}

#[test]
fn a_file_that_somebody_else_receives_is_left_to_them() {
    let world = World::new();
    write(world.from.path(), "a", &noise(1, 100_000));
    let entry = world.sources().entry(0).unwrap().clone();
    let part = world
        .to
        .path()
        .join(crate::disk::part_name("romeo@montague.example", &entry));
    fs::write(&part, b"half").unwrap();
    let other = fs::File::open(&part).unwrap();
    other.lock().unwrap();
    assert_eq!(world.transfer_to(world.destination()).0.unwrap().skipped, 1);
    assert_eq!(fs::read(&part).unwrap(), b"half");
    drop(other);
    assert_eq!(world.transfer_to(world.destination()).0.unwrap().done, 1);
    world.is_whole();
}

#[test]
fn more_than_there_is_room_for_is_refused_with_numbers() {
    let world = World::new();
    let path = world.from.path().join("huge");
    fs::File::create(&path).unwrap().set_len(1 << 43).unwrap();
    let (sent, received) = world.transfer_to(world.destination());
    assert!(
        matches!(received, Err(ReceiveError::Refused(_))),
        "{received:?}"
    );
    let Err(SendError::Refused(told)) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(told.reason, Reason::NoSpace);
    assert!(told.text.contains("8796093022208"), "{told}");
}
