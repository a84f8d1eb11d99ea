use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use xtls_client::Home;
use xtls_client::uplink::normalise;
use xtls_stanza::Address;

use super::*;
use crate::failure::{Code, Failure};

fn juliet() -> Address {
    normalise("juliet@capulet.example").unwrap()
}

/// A home with a key, in a folder whose name a shell would split.
fn settled() -> (tempfile::TempDir, Home, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("a b/home"));
    home.identity(&juliet()).unwrap();
    let path = home.account(&juliet()).join("key.pem");
    (folder, home, path)
}

/// Runs the suggested command, and returns the failure.
fn mended(home: &Home) -> Failure {
    let failure = Failure::from(home.identity(&juliet()).unwrap_err());
    assert_eq!(failure.code, Code::Failed);
    let command = failure.hint.as_ref().unwrap().lines().last().unwrap();
    let ran = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(ran.success(), "{command}");
    failure
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_path_that_others_can_use_is_named_and_the_command_fixes_it() {
    let (folder, home, path) = settled();
    let key = home.identity(&juliet()).unwrap().fingerprint();
    let above = folder.path().join("a b");
    for (open, mode) in [
        (path.as_path(), 0o644),
        (path.parent().unwrap(), 0o755),
        (&above.join("home"), 0o770),
        (&above, 0o777),
        (folder.path(), 0o777),
    ] {
        set_mode(open, mode);
        let failure = mended(&home);
        assert!(
            failure.what.contains(&open.display().to_string()),
            "{}",
            failure.what
        );
        assert_eq!(home.identity(&juliet()).unwrap().fingerprint(), key);
    }
}

#[test]
fn the_command_moves_a_damaged_key_away_without_losing_it() {
    for damage in ["", "garbage", "-----BEGIN PRIVATE KEY-----\n"] {
        let (_folder, home, path) = settled();
        fs::write(&path, damage).unwrap();
        mended(&home);
        assert_eq!(
            fs::read_to_string(path.with_file_name("key.pem.damaged")).unwrap(),
            damage
        );
        home.identity(&juliet()).unwrap();
    }
}

#[test]
fn every_system_error_has_a_next_step() {
    let path = Path::new("/a b/key.pem");
    for (kind, step) in [
        (ErrorKind::PermissionDenied, "chmod u+rwX '/a b/key.pem'"),
        (ErrorKind::StorageFull, "df -h '/a b'"),
        (ErrorKind::QuotaExceeded, "df -h '/a b'"),
        (ErrorKind::ReadOnlyFilesystem, "--home"),
        (ErrorKind::NotADirectory, "--home"),
    ] {
        let error = HomeError::File {
            path: path.to_owned(),
            source: kind.into(),
        };
        let failure = Failure::from(error);
        assert!(
            failure.what.starts_with("/a b/key.pem: "),
            "{}",
            failure.what
        );
        assert!(failure.hint.unwrap().ends_with(step));
    }
}
