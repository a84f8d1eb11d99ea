use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::private::Exposed;

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

fn juliet() -> Address {
    address("juliet@capulet.example/balcony")
}

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("xtls"));
    (folder, home)
}

/// A home with Juliet's key, and the key's place.
fn settled() -> (tempfile::TempDir, Home, PathBuf) {
    let (folder, home) = home();
    home.identity(&juliet()).unwrap();
    let path = home.account(&juliet()).join(KEY);
    (folder, home, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_is_made_once_and_private() {
    let (_folder, home, path) = settled();
    let first = home.identity(&juliet()).unwrap();
    assert_eq!(first.jid(), "juliet@capulet.example");
    assert_eq!(
        home.identity(&juliet()).unwrap().fingerprint(),
        first.fingerprint()
    );
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
    assert!(!path.with_extension("pem.new").exists());
    // Every resource has the account's key, every account its own.
    let other = home
        .identity(&address("juliet@capulet.example/garden"))
        .unwrap();
    assert_eq!(other.fingerprint(), first.fingerprint());
    let romeo = home.identity(&address("romeo@montague.example")).unwrap();
    assert_ne!(romeo.fingerprint(), first.fingerprint());
    assert_eq!(
        home.accounts().unwrap(),
        [
            address("juliet@capulet.example"),
            address("romeo@montague.example")
        ]
    );
}

#[test]
fn a_home_that_is_not_there_has_no_accounts() {
    assert_eq!(home().1.accounts().unwrap(), []);
}

#[test]
fn threads_that_ask_at_once_get_one_key() {
    let (_folder, home) = home();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let ask = || home.identity(&juliet()).unwrap().fingerprint();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn processes_that_ask_at_once_get_one_key() {
    let name = "home::tests::processes_that_ask_at_once_get_one_key";
    if let Some(path) = std::env::var_os("XTLS_TEST_PATH") {
        let key = Home::at(path).identity(&juliet()).unwrap().fingerprint();
        println!("<{}>", key.hex());
        return;
    }
    let (folder, home) = home();
    let root = folder.path().join("xtls");
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env("XTLS_TEST_PATH", &root)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs: Vec<_> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    let key = format!(
        "<{}>",
        home.identity(&juliet()).unwrap().fingerprint().hex()
    );
    for output in outputs {
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&key), "{said} lacks {key}");
    }
}

#[test]
fn an_exposed_key_is_refused_and_kept() {
    let (_folder, home, path) = settled();
    let before = fs::read(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
        set_mode(&path, mode);
        let error = home.identity(&juliet()).unwrap_err();
        assert!(
            matches!(error, HomeError::Private(Exposed::Mode { .. })),
            "{error}"
        );
        assert!(home.accounts().is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn an_exposed_folder_is_refused() {
    let (_folder, home, path) = settled();
    set_mode(path.parent().unwrap(), 0o755);
    assert!(matches!(
        home.identity(&juliet()),
        Err(HomeError::Private(_))
    ));
    assert!(matches!(home.pins(&juliet()), Err(HomeError::Private(_))));
}

/// Whoever can move the account's folder away gets a new key and an empty store made in its place.
#[test]
fn a_home_that_others_can_write_to_is_refused() {
    let (folder, home, _) = settled();
    let root = folder.path().join("xtls");
    set_mode(&root, 0o777);
    all_refused(&home, &root);
}

/// All that a home can be asked for is refused, because of this folder.
fn all_refused(home: &Home, open: &Path) {
    let refusals = [
        home.identity(&juliet()).map(drop),
        home.key(&juliet()).map(drop),
        home.has(&juliet()).map(drop),
        home.pins(&juliet()).map(drop),
        home.accounts().map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(
            matches!(&error, HomeError::Private(Exposed::Above { path, .. }) if path == open),
            "{error}"
        );
    }
}

/// Somebody who can rename in a folder far above puts an older copy of the home into its place, in which a key that is
/// revoked today is verified.
#[test]
fn an_older_copy_that_a_writer_far_above_put_in_place_is_not_believed() {
    let root = tempfile::tempdir().unwrap();
    let open = root.path().join("open");
    let home = Home::at(open.join("between/home"));
    let key = xtls_tls::Fingerprint::of_spki(b"stolen");
    home.identity(&juliet()).unwrap();
    let mut pins = home.pins(&juliet()).unwrap();
    pins.pin_first_use("romeo@montague.example", key).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .args([open.join("between"), open.join("older")])
        .status()
        .unwrap();
    assert!(copied.success());
    pins.change(|store, now| store.revoke("romeo@montague.example", key, now))
        .unwrap();
    set_mode(&open, 0o777);
    fs::rename(open.join("between"), open.join("aside")).unwrap();
    fs::rename(open.join("older"), open.join("between")).unwrap();
    all_refused(&home, &open);
    // Nor is anything made there for an account that is new.
    let romeo = address("romeo@montague.example");
    assert!(home.identity(&romeo).is_err() && home.pins(&romeo).is_err());
    assert!(!home.account(&romeo).exists());
}

#[test]
fn looking_for_a_key_makes_nothing() {
    let (folder, home) = home();
    assert!(home.key(&juliet()).unwrap().is_none());
    assert!(!home.has(&juliet()).unwrap());
    assert_eq!(home.accounts().unwrap(), []);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // Pins without a key are found, and no key is made for them.
    home.pins(&juliet()).unwrap();
    assert!(home.has(&juliet()).unwrap());
    assert!(home.key(&juliet()).unwrap().is_none());
    let made = home.identity(&juliet()).unwrap().fingerprint();
    assert_eq!(home.key(&juliet()).unwrap().unwrap().fingerprint(), made);
}

#[test]
fn with_a_clock_at_1970_the_clock_is_named_and_nothing_is_made() {
    let (folder, home) = home();
    for (now, day) in [(300, "1970-01-01"), (EARLIEST - 1, "2024-12-31")] {
        let error = home.identity_at(&juliet(), now).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the clock of this machine says {day}, which cannot be; no key was made")
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    home.identity_at(&juliet(), EARLIEST).unwrap();
    // A key that is there needs no clock.
    home.identity_at(&juliet(), 300).unwrap();
}

#[test]
fn a_clock_after_all_time_is_named_and_no_key_is_made() {
    let (_folder, home) = home();
    let error = home.identity_at(&juliet(), 253_370_764_800).unwrap_err();
    assert!(matches!(error, HomeError::Clock { .. }), "{error}");
    assert!(home.key(&juliet()).unwrap().is_none());
}

#[test]
fn a_linked_key_or_folder_is_refused() {
    let (_folder, home, path) = settled();
    let romeo = address("romeo@montague.example");
    let folder = home.account(&romeo);
    symlink(path.parent().unwrap(), &folder).unwrap();
    assert!(matches!(
        home.identity(&romeo),
        Err(HomeError::Private(Exposed::Kind { .. }))
    ));
    fs::remove_file(&folder).unwrap();
    private::folder(&folder).unwrap();
    symlink(&path, folder.join(KEY)).unwrap();
    assert!(matches!(
        home.identity(&romeo),
        Err(HomeError::Private(Exposed::Kind { .. }))
    ));
}

#[test]
fn a_key_of_somebody_elses_file_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away; the rule itself is tested with the private files.
        return;
    }
    let (_folder, home, path) = settled();
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let error = home.identity(&juliet()).unwrap_err();
    assert!(
        matches!(error, HomeError::Private(Exposed::Owner { .. })),
        "{error}"
    );
}

#[test]
fn a_key_cut_anywhere_is_refused_and_kept() {
    let (_folder, home, path) = settled();
    let whole = fs::read(&path).unwrap();
    // The last byte is a line's end, which PEM can do without.
    for length in (0..whole.len() - 1).step_by(7).chain([0, whole.len() - 2]) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = home.identity(&juliet()).unwrap_err();
        assert!(matches!(error, HomeError::Key { .. }), "{length}: {error}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..length]);
    }
    fs::write(&path, vec![b'x'; KEY_LIMIT * 2]).unwrap();
    assert!(matches!(
        home.identity(&juliet()),
        Err(HomeError::Key { .. })
    ));
    fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(matches!(
        home.identity(&juliet()),
        Err(HomeError::File { .. })
    ));
}

#[test]
fn another_accounts_key_is_refused() {
    let (_folder, home, path) = settled();
    let romeo = address("romeo@montague.example");
    let folder = home.account(&romeo);
    private::folder(&folder).unwrap();
    fs::copy(&path, folder.join(KEY)).unwrap();
    let error = home.identity(&romeo).unwrap_err();
    assert!(
        matches!(&error, HomeError::Account { found, wanted, .. }
        if found == "juliet@capulet.example" && wanted == "romeo@montague.example"),
        "{error}"
    );
    assert!(matches!(home.accounts(), Err(HomeError::Account { .. })));
}

#[test]
fn what_a_killed_maker_left_is_no_key() {
    let (_folder, home) = home();
    let folder = home.account(&juliet());
    private::folder(&folder).unwrap();
    fs::write(folder.join("key.pem.new"), "-----BEGIN PRIV").unwrap();
    home.identity(&juliet()).unwrap();
    assert!(!folder.join("key.pem.new").exists());
}

#[test]
fn pins_live_beside_the_key() {
    let (_folder, home, path) = settled();
    let key = home.identity(&juliet()).unwrap().fingerprint();
    home.pins(&juliet())
        .unwrap()
        .pin_first_use("romeo@montague.example", key)
        .unwrap();
    assert!(path.with_file_name("pins").exists());
    assert_eq!(home.pins(&juliet()).unwrap().store().list().count(), 1);
    assert_eq!(
        home.pins(&address("nurse@capulet.example"))
            .unwrap()
            .store()
            .list()
            .count(),
        0
    );
}

/// The address that a folder name stands for.
fn of_folder(name: &str) -> Option<String> {
    String::from_utf8(of_octets(name)?).ok()
}

fn of_octets(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[test]
fn nasty_addresses_have_harmless_names() {
    for (bare, name) in [
        ("..", "%2E."),
        (".", "%2E"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("a\0b", "a%00b"),
        ("a%2Fb", "a%252Fb"),
        ("ü@x", "%C3%BC@x"),
        ("a\\b:c", "a%5Cb%3Ac"),
        ("juliet@capulet.example", "juliet@capulet.example"),
    ] {
        assert_eq!(folder_name(bare), name);
    }
}

#[test]
fn a_name_is_cut_only_when_it_is_too_long_for_a_file_system() {
    let of = |length: usize| format!("{}@capulet.example", "j".repeat(length - 16));
    let [longest, longer] = [of(LONGEST_NAME), of(LONGEST_NAME + 1)];
    assert_eq!(folder_name(&longest), longest);
    let cut = folder_name(&longer);
    assert_eq!(cut.len(), LONGEST_NAME);
    assert!(longer.starts_with(cut.split_once('~').unwrap().0));
    // Addresses that differ only behind the cut.
    let other = longer.replace("capulet", "montagu");
    assert_ne!(cut, folder_name(&other));
}

#[test]
fn accounts_with_long_names_are_made_found_and_told_apart() {
    let (_folder, home) = home();
    let mut long: Vec<_> = [
        "\u{6F22}".repeat(30),
        "\u{6F22}".repeat(29) + "\u{5B57}",
        "\u{436}".repeat(48),
        "\u{6F22}".repeat(341),
    ]
    .iter()
    .map(|local| address(&format!("{local}@capulet.example")))
    .collect();
    let mut keys = std::collections::BTreeSet::new();
    for account in &long {
        keys.insert(home.identity(account).unwrap().fingerprint());
        home.pins(account)
            .unwrap()
            .pin_first_use(
                "romeo@montague.example",
                xtls_tls::Fingerprint::of_spki(b"r"),
            )
            .unwrap();
        assert!(home.account(account).join("pins").exists());
    }
    assert_eq!(keys.len(), long.len());
    long.sort();
    assert_eq!(home.accounts().unwrap(), long);
}

#[test]
fn a_folder_that_has_its_whole_name_is_found_as_ever() {
    let (_folder, home, path) = settled();
    assert_eq!(
        path.parent().unwrap().file_name().unwrap(),
        "juliet@capulet.example"
    );
    let account = address(&format!("{}@capulet.example", "\u{6F22}".repeat(26)));
    let name = "%E6%BC%A2".repeat(26) + "@capulet.example";
    assert_eq!(home.account(&account).file_name().unwrap(), name.as_str());
}

proptest! {
    #[test]
    fn long_names_fit_are_harmless_and_never_those_of_short_ones(bare in "\\PC{200,400}", short in "\\PC{0,60}") {
        let name = folder_name(&bare);
        prop_assert!(name.len() <= LONGEST_NAME);
        let (kept, hash) = name.split_once('~').unwrap();
        prop_assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()));
        // What is kept is cut between two octets of the address.
        prop_assert!(of_octets(kept).is_some_and(|octets| bare.as_bytes().starts_with(&octets)));
        prop_assert!(!folder_name(&short).contains('~') || folder_name(&short).len() > 200);
    }

    #[test]
    fn folder_names_never_collide_and_never_lead_out(bare in "\\PC{1,40}|[./\\\\%a-f0-9@]{1,12}") {
        let name = folder_name(&bare);
        prop_assert_eq!(of_folder(&name), Some(bare));
        prop_assert!(!name.starts_with('.') && !name.is_empty());
        let plain = |c: char| c.is_ascii_alphanumeric() || "@.-_+%".contains(c);
        prop_assert!(name.chars().all(plain), "{}", name);
        let home = Home::at("/root");
        let inside = home.root.join(&name);
        prop_assert_eq!(inside.parent(), Some(Path::new("/root")));
    }
}
