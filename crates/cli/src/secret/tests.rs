use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;
use crate::failure::Code;

fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("the password");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn refused(path: &Path) -> Failure {
    let failure = in_file("password", path).unwrap_err();
    assert_eq!(failure.code, Code::Usage);
    let named = format!("the password file {}: ", path.display());
    assert!(failure.what.starts_with(&named), "{}", failure.what);
    failure
}

#[test]
fn a_file_that_others_can_read_or_change_is_refused_with_the_command_that_mends_it() {
    for bit in 0..6 {
        let mode = 0o600 | 1 << bit;
        let (_folder, path) = file(b"pw\n", mode);
        let failure = refused(&path);
        assert!(
            failure.what.ends_with(&format!("(mode {mode:03o})")),
            "{}",
            failure.what
        );
        let hint = failure.hint.unwrap();
        let command = hint.lines().last().unwrap().trim();
        assert_eq!(command, format!("chmod 600 '{}'", path.display()));
        // The command does fix it.
        let mended = std::process::Command::new("sh")
            .args(["-c", command])
            .status();
        assert!(mended.unwrap().success());
        assert_eq!(in_file("password", &path).unwrap().as_str(), "pw");
    }
}

#[test]
fn whose_file_it_is_decides_what_its_mode_may_be() {
    use Verdict::{Foreign, Open, Private};
    // The user, the file's owner, the modes 0600, 0640, 0644 and 0622.
    for (user, owner, verdicts) in [
        (1000, 1000, [Private, Open, Open, Open]),
        (1000, 0, [Private, Private, Private, Open]),
        (1000, 1001, [Foreign, Foreign, Foreign, Foreign]),
        (0, 0, [Private, Open, Open, Open]),
        (0, 1000, [Private, Open, Open, Open]),
    ] {
        let judged = [0o600, 0o640, 0o644, 0o622].map(|mode| judge(user, owner, mode));
        assert_eq!(judged, verdicts, "{user} {owner}");
    }
}

#[test]
fn a_file_is_judged_behind_its_link() {
    let (folder, path) = file(b"pw\n", 0o644);
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    refused(&link);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(in_file("password", &link).unwrap().as_str(), "pw");
}

#[test]
fn the_first_line_counts_and_its_end_does_not() {
    for (text, line) in [
        ("pw", "pw"),
        ("pw\n", "pw"),
        ("pw\r\n", "pw"),
        ("pw\r\r\n", "pw\r"),
        (" p w \nmore\n", " p w "),
        ("pässwörd\n", "pässwörd"),
    ] {
        let (_folder, path) = file(text.as_bytes(), 0o600);
        assert_eq!(in_file("password", &path).unwrap().as_str(), line);
        assert_eq!(first_line(text).unwrap().as_str(), line);
    }
}

#[test]
fn a_file_without_a_first_line_of_text_is_refused() {
    for text in ["", "\n", "\r\n", "\npw\n"] {
        let (_folder, path) = file(text.as_bytes(), 0o600);
        assert!(refused(&path).what.ends_with("its first line is empty"));
        assert_eq!(first_line(text).unwrap_err(), "its first line is empty");
    }
    let (folder, path) = file(&[0xFF, 0xFE, b'\n'], 0o600);
    assert!(refused(&path).what.contains("UTF-8"));
    refused(&folder.path().join("nothing"));
    refused(folder.path());
}

#[test]
fn the_longest_line_is_taken_whole_and_a_longer_one_is_refused_and_never_cut() {
    for end in ["", "\n", "\r\n", "\nmore"] {
        let longest = "x".repeat(SECRET_LIMIT);
        let (_folder, path) = file(format!("{longest}{end}").as_bytes(), 0o600);
        assert_eq!(in_file("password", &path).unwrap().as_str(), longest);
        let (_folder, path) = file(format!("{longest}x{end}").as_bytes(), 0o600);
        assert!(
            refused(&path)
                .what
                .ends_with("its first line is longer than 4096 bytes")
        );
    }
}
