//! A file that grows by records, and is written anew now and then.

use std::fs;

use xtls_tls::trust::Ledger;

use super::super::*;
use super::{JULIET, key, knows, pinned, place};

/// Changes until the file has to be written anew.
pub(super) fn wear(path: &Path) {
    let mut pins = Pins::open(path).unwrap();
    let text = || String::from_utf8(fs::read(path).unwrap()).unwrap();
    let mut later = 0;
    while !Ledger::read(&text()).unwrap().1.unwrap().is_worn() {
        later += 1;
        pins.change(|store, now| Ok(store.touch(JULIET, &key(1), now + later)))
            .unwrap();
    }
}

#[test]
fn a_file_that_has_grown_is_written_anew_now_and_then() {
    use std::os::unix::fs::MetadataExt as _;
    let (_home, path) = pinned();
    let inode = || fs::metadata(&path).unwrap().ino();
    let first = inode();
    wear(&path);
    assert_eq!(inode(), first, "it grows in place");
    let grown = fs::metadata(&path).unwrap().len();
    let mut other = Pins::open(&path).unwrap();
    let mut pins = Pins::open(&path).unwrap();
    pins.pin_first_use("romeo@montague.example", key(2))
        .unwrap();
    assert_ne!(inode(), first);
    assert!(fs::metadata(&path).unwrap().len() < grown / 2);
    assert!(other.refresh().unwrap());
    assert_eq!(other.store(), Pins::open(&path).unwrap().store());
}

#[test]
fn a_pin_among_ten_thousand_adds_one_record() {
    let (_home, path) = place();
    let mut pins = Pins::open(&path).unwrap();
    pins.limit_first_uses(usize::MAX);
    let all: Vec<_> = (0..10_000)
        .map(|number| Meeting {
            bare: format!("p{number:05}@x.example"),
            key: key(number),
        })
        .collect();
    let pinned = pins.meet(&all, &[]).unwrap();
    assert!(pinned.iter().all(Result::is_ok));
    let length = || fs::metadata(&path).unwrap().len();
    let before = length();
    pins.pin_first_use(JULIET, key(10_000)).unwrap();
    assert!(length() - before < 200, "{}", length() - before);
    assert_eq!(Pins::open(&path).unwrap().store().list().count(), 10_001);
}

#[test]
fn a_change_that_changes_nothing_is_not_written() {
    let (_home, path) = pinned();
    let mut pins = Pins::open(&path).unwrap();
    let before = fs::read(&path).unwrap();
    let store = pins.store();
    pins.change(|store, _| Ok(store.forget("nobody@x.example")))
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(Arc::ptr_eq(&store, &pins.store()));
}

/// A writer that was stopped before its head was on the disk has left some of its records.
#[test]
fn what_a_stopped_writer_left_behind_the_end_counts_for_nothing() {
    for torn in [
        &b"@peer ro"[..],
        b"@peer romeo@montague.example\n",
        &[0; 100],
        &[0xC3],
    ] {
        let (_home, path) = pinned();
        let whole = fs::read(&path).unwrap();
        let mut running = Pins::open(&path).unwrap();
        fs::write(&path, [&whole, torn].concat()).unwrap();
        assert_eq!(Pins::open(&path).unwrap().store(), running.store());
        assert!(!running.refresh().unwrap());
        running
            .pin_first_use("romeo@montague.example", key(2))
            .unwrap();
        let store = Pins::open(&path).unwrap().store();
        assert_eq!(store, running.store());
        assert_eq!(store.list().count(), 2);
    }
}

/// A store that knows Juliet by key 1, as programs wrote it once.
const FIRST_VERSION: &str = "xtls-trust 1\n\
    juliet@capulet.example cd2662154e6d76b2b2b92e70c0cac3ccf534f9b74eb5b89819ec509083d00a50 first-use 5 5 7\n\
    @end 1 5c73af3fb8924199b3154f606489ea10917a3f4c2eb8dc01cd3dc057155e11d2\n";

#[test]
fn a_file_of_version_1_is_read_and_written_anew() {
    let (_home, path) = pinned();
    fs::write(&path, FIRST_VERSION).unwrap();
    let mut pins = Pins::open(&path).unwrap();
    assert!(knows(&pins, JULIET, 1));
    pins.pin_first_use("romeo@montague.example", key(2))
        .unwrap();
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("xtls-trust 2 ")
    );
    let pins = Pins::open(&path).unwrap();
    assert!(knows(&pins, JULIET, 1) && knows(&pins, "romeo@montague.example", 2));
}
