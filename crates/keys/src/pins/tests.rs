mod growing;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use self::growing::wear;
use super::file::{TICK, stamp};
use super::*;

pub(super) const JULIET: &str = "juliet@capulet.example";

pub(super) fn key(number: u64) -> Fingerprint {
    Fingerprint::of_spki(&number.to_be_bytes())
}

/// A private folder, and the place of a store in it.
pub(super) fn place() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    set_mode(home.path(), 0o700);
    let path = home.path().join("pins");
    (home, path)
}

/// A store on disk that knows Juliet by key 1.
pub(super) fn pinned() -> (tempfile::TempDir, PathBuf) {
    let (home, path) = place();
    Pins::open(&path)
        .unwrap()
        .pin_first_use(JULIET, key(1))
        .unwrap();
    (home, path)
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn knows(pins: &Pins, jid: &str, number: u64) -> bool {
    pins.store()
        .of(jid)
        .iter()
        .any(|pin| pin.fingerprint == key(number))
}

/// Another process that runs this same test and finds `role` in its environment.
fn child(test: &str, role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("pins::tests::{test}"), "--nocapture"])
        .env("XTLS_TEST_ROLE", role)
        .env("XTLS_TEST_PATH", path)
        .spawn()
        .unwrap()
}

/// What a process that [`child`] started shall do, and where.
fn role() -> Option<(String, PathBuf)> {
    let role = std::env::var("XTLS_TEST_ROLE").ok()?;
    Some((role, std::env::var_os("XTLS_TEST_PATH")?.into()))
}

#[test]
fn pins_last() {
    let (_home, path) = pinned();
    assert!(knows(&Pins::open(&path).unwrap(), JULIET, 1));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn pins_in_memory_do_not() {
    let mut pins = Pins::memory();
    pins.pin_first_use(JULIET, key(1)).unwrap();
    assert!(knows(&pins, JULIET, 1));
    assert!(!pins.refresh().unwrap());
    assert!(pins.pin_first_use(JULIET, key(2)).is_err());
    assert!(!knows(&pins, JULIET, 2));
}

#[test]
fn a_pin_is_never_overwritten() {
    let (_home, path) = pinned();
    let before = fs::read(&path).unwrap();
    let mut pins = Pins::open(&path).unwrap();
    let error = pins.pin_first_use(JULIET, key(2)).unwrap_err();
    assert!(
        matches!(error, PinsError::Pin(PinError::KnownJid { .. })),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!knows(&pins, JULIET, 2));
}

#[test]
fn a_store_cut_anywhere_is_refused() {
    let (_home, path) = pinned();
    let whole = fs::read(&path).unwrap();
    let mut running = Pins::open(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Pins::open(&path).unwrap_err();
        assert!(
            matches!(error, PinsError::Damaged { .. }),
            "{length}: {error}"
        );
        assert!(running.refresh().is_err(), "{length}");
        assert!(
            running
                .pin_first_use("romeo@montague.example", key(2))
                .is_err(),
            "{length}"
        );
        // What was damaged is left for its owner to look at, and the last good pins stand.
        assert_eq!(fs::read(&path).unwrap(), &whole[..length]);
        assert!(knows(&running, JULIET, 1));
    }
}

#[test]
fn what_is_no_text_is_refused() {
    let (_home, path) = pinned();
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] = 0xFF;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(Pins::open(&path), Err(PinsError::File { .. })));
}

#[test]
fn a_store_with_one_changed_bit_is_refused() {
    let (_home, path) = pinned();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        let error = Pins::open(&path).unwrap_err();
        let named = matches!(error, PinsError::Damaged { .. } | PinsError::File { .. });
        assert!(named, "byte {at}: {error}");
        assert_eq!(fs::read(&path).unwrap(), changed);
    }
}

#[test]
fn an_exposed_store_is_refused() {
    let (_home, path) = pinned();
    let mut running = Pins::open(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o777] {
        set_mode(&path, mode);
        assert!(
            matches!(Pins::open(&path), Err(PinsError::Private(_))),
            "{mode:o}"
        );
        assert!(
            matches!(running.refresh(), Err(PinsError::Private(_))),
            "{mode:o}"
        );
        let changed = running.pin_first_use("romeo@montague.example", key(2));
        assert!(matches!(changed, Err(PinsError::Private(_))), "{mode:o}");
    }
}

#[test]
fn a_store_in_an_exposed_folder_is_refused_even_if_it_does_not_exist() {
    let (home, path) = place();
    let mut running = Pins::open(&path).unwrap();
    for mode in [0o750, 0o705, 0o720, 0o702] {
        set_mode(home.path(), mode);
        assert!(
            matches!(Pins::open(&path), Err(PinsError::Private(_))),
            "{mode:o}"
        );
        let changed = running.pin_first_use(JULIET, key(1));
        assert!(matches!(changed, Err(PinsError::Private(_))), "{mode:o}");
        assert!(!path.exists());
    }
    set_mode(home.path(), 0o700);
}

#[test]
fn a_store_without_a_folder_is_refused() {
    let (home, _) = place();
    let error = Pins::open(&home.path().join("no/pins")).unwrap_err();
    assert!(matches!(error, PinsError::File { .. }), "{error}");
}

#[test]
fn a_link_is_refused() {
    let (home, path) = pinned();
    let link = home.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(Pins::open(&link), Err(PinsError::Private(_))));
}

#[test]
fn a_store_that_vanishes_is_not_an_empty_one() {
    let (_home, path) = pinned();
    let mut running = Pins::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(running.refresh(), Err(PinsError::Vanished { .. })));
    let changed = running.pin_first_use("romeo@montague.example", key(2));
    assert!(matches!(changed, Err(PinsError::Vanished { .. })));
    assert!(!path.exists(), "a store with the last pin only");
    assert!(knows(&running, JULIET, 1));
}

#[test]
fn what_another_process_changes_is_seen() {
    let (_home, path) = place();
    let mut one = Pins::open(&path).unwrap();
    let mut two = Pins::open(&path).unwrap();
    assert!(!one.refresh().unwrap());
    two.pin_first_use(JULIET, key(1)).unwrap();
    assert!(one.refresh().unwrap());
    assert!(knows(&one, JULIET, 1));
    assert!(!one.refresh().unwrap());
    // A change is made to what the file says now, not to what was read last.
    two.pin_first_use("romeo@montague.example", key(2)).unwrap();
    one.pin_first_use("nurse@capulet.example", key(3)).unwrap();
    assert_eq!(one.store().list().count(), 3);
}

#[test]
fn a_version_of_equal_length_and_time_is_seen() {
    let (_home, path) = place();
    let long_ago = SystemTime::now() - Duration::from_secs(1000);
    let versions: Vec<String> = (0..20)
        .map(|number| {
            let mut store = Store::new();
            store
                .pin(JULIET, key(number), Level::FirstUse, 1_229_299_200)
                .unwrap();
            store.to_text()
        })
        .collect();
    assert!(versions.iter().all(|text| text.len() == versions[0].len()));
    let mut pins = None;
    for (number, text) in (0..).zip(&versions) {
        // By turns in the same file and as another one, and always with the same time.
        if number % 2 == 0 {
            fs::rename(private::write_beside(&path, text).unwrap().0, &path).unwrap();
        } else {
            fs::write(&path, text).unwrap();
        }
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        let pins = pins.get_or_insert_with(|| Pins::open(&path).unwrap());
        pins.refresh().unwrap();
        assert!(knows(pins, JULIET, number), "version {number}");
    }
}

#[test]
fn a_file_that_was_just_written_is_read_again() {
    let (_home, path) = pinned();
    let metadata = fs::metadata(&path).unwrap();
    let modified = metadata.modified().unwrap();
    assert!(!stamp(&metadata, modified).settled);
    assert!(!stamp(&metadata, modified + TICK).settled);
    // A clock that was set back makes nothing look old.
    assert!(!stamp(&metadata, modified - Duration::from_secs(86_400)).settled);
    assert!(stamp(&metadata, modified + TICK + Duration::from_secs(1)).settled);
}

#[test]
fn threads_that_write_at_once_lose_nothing() {
    let (_home, path) = place();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let mut pins = Pins::open(path).unwrap();
                for number in 0..10 {
                    let number = thread * 100 + number;
                    pins.pin_first_use(&format!("p{number}@x.example"), key(number))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(Pins::open(&path).unwrap().store().list().count(), 80);
    let names = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["pins", "pins.lock"]);
}

#[test]
fn processes_that_write_at_once_lose_nothing() {
    if let Some((role, path)) = role() {
        let mut pins = Pins::open(&path).unwrap();
        for number in 0..10 {
            let number = role.parse::<u64>().unwrap() * 100 + number;
            pins.pin_first_use(&format!("p{number}@x.example"), key(number))
                .unwrap();
        }
        return;
    }
    let (_home, path) = place();
    let name = "processes_that_write_at_once_lose_nothing";
    let children: Vec<_> = (0..4).map(|n| child(name, &n.to_string(), &path)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(Pins::open(&path).unwrap().store().list().count(), 40);
}

/// The shell's `ulimit -f 0` is a disk without room: the lock, which is empty, can be made, and not a byte written.
#[test]
fn a_full_disk_leaves_the_old_pins() {
    let name = "a_full_disk_leaves_the_old_pins";
    if let Some((_, path)) = role() {
        let mut pins = Pins::open(&path).unwrap();
        let error = pins
            .pin_first_use("romeo@montague.example", key(2))
            .unwrap_err();
        assert!(matches!(error, PinsError::File { .. }), "{error}");
        assert!(!knows(&pins, "romeo@montague.example", 2));
        return;
    }
    let (home, path) = pinned();
    let before = fs::read(&path).unwrap();
    let status = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 0; exec \"$0\" --exact \"$1\" >&-",
        ])
        .arg(std::env::current_exe().unwrap())
        .arg(format!("pins::tests::{name}"))
        .env("XTLS_TEST_ROLE", "writer")
        .env("XTLS_TEST_PATH", &path)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!home.path().join("pins.new").exists());
    Pins::open(&path)
        .unwrap()
        .pin_first_use("romeo@montague.example", key(2))
        .unwrap();
}

#[test]
fn what_cannot_be_put_in_place_leaves_the_old_pins() {
    let (home, path) = pinned();
    wear(&path);
    let before = fs::read(&path).unwrap();
    // A folder where the new file should be: it is not ours to throw away.
    fs::create_dir(home.path().join("pins.new")).unwrap();
    let mut pins = Pins::open(&path).unwrap();
    let error = pins
        .pin_first_use("romeo@montague.example", key(2))
        .unwrap_err();
    assert!(matches!(error, PinsError::File { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!knows(&pins, "romeo@montague.example", 2));
    fs::remove_dir(home.path().join("pins.new")).unwrap();
    pins.pin_first_use("romeo@montague.example", key(2))
        .unwrap();
}

#[test]
fn what_a_killed_writer_left_is_no_obstacle() {
    let (home, path) = pinned();
    fs::write(home.path().join("pins.new"), "xtls-trust 2\n").unwrap();
    wear(&path);
    let mut pins = Pins::open(&path).unwrap();
    pins.pin_first_use("romeo@montague.example", key(2))
        .unwrap();
    assert_eq!(Pins::open(&path).unwrap().store().list().count(), 2);
}

/// Writes one version after the other for ever, and says the number of each that is in place.
fn write_for_ever(path: &Path, first: u64) -> ! {
    use std::io::Write as _;
    let mut pins = Pins::open(path).unwrap();
    for number in first.. {
        pins.change(|store, now| {
            store.forget(JULIET);
            store.pin(JULIET, key(number), Level::FirstUse, now)
        })
        .unwrap();
        // Nobody reads it after the end.
        let _ = writeln!(io::stdout().lock(), "<{number}>");
    }
    unreachable!("numbers do not end")
}

/// A writer that is killed at any moment leaves the version before or the one it was about to put in place.
#[test]
fn killed_at_200_random_points_the_pins_are_the_old_or_the_new_ones() {
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    use std::io::{BufRead as _, BufReader};
    let name = "killed_at_200_random_points_the_pins_are_the_old_or_the_new_ones";
    if let Some((first, path)) = role() {
        write_for_ever(&path, first.parse().unwrap());
    }
    let seed = match std::env::var("XTLS_SEED") {
        Ok(seed) => seed.parse().expect("XTLS_SEED is a number"),
        Err(_) => unix_now().unsigned_abs(),
    };
    println!("XTLS_SEED={seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (home, path) = pinned();
    let (mut number, mut halves) = (1, 0);
    for round in 0..200 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("pins::tests::{name}"), "--nocapture"])
            .env("XTLS_TEST_ROLE", (number + 1).to_string())
            .env("XTLS_TEST_PATH", &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let told = |line: &str| {
            let line = line.trim_end().strip_suffix('>')?;
            line.rsplit('<').next()?.parse::<u64>().ok()
        };
        let mut line = String::new();
        while told(&line).is_none() {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "round {round}");
        }
        // The moment is what is random; nothing waits for it.
        let moment = Instant::now() + Duration::from_micros(random.next_u64() % 8_000);
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let last = std::iter::once(line)
            .chain(said.lines().map(Result::unwrap))
            .filter_map(|line| told(&line))
            .last()
            .unwrap();
        let pins = Pins::open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let found = (last..=last + 1).find(|number| knows(&pins, JULIET, *number));
        number = found.unwrap_or_else(|| panic!("round {round}: neither {last} nor the next"));
        halves += usize::from(home.path().join("pins.new").exists());
    }
    println!("{number} versions; in {halves} of 200 rounds half a file was left beside");
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let (_home, path) = pinned();
    let before = fs::read(&path).unwrap();
    let mut pins = Pins::open(&path).unwrap();
    let refused = pins.change(|store, now| {
        store.forget(JULIET);
        store.pin("not a jid/", key(9), Level::Verified(Method::Words), now)
    });
    assert!(refused.is_err());
    assert!(knows(&pins, JULIET, 1));
    assert_eq!(fs::read(&path).unwrap(), before);
}
