use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::io::Errno;

use super::super::tests::set_mode;
use super::*;

#[test]
fn what_a_killed_writer_left_is_thrown_away() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    let stale = home.path().join("file.new");
    fs::write(&stale, "half of someth").unwrap();
    set_mode(&stale, 0o644);
    let (fresh, _) = write_beside(&path, "all").unwrap();
    assert_eq!(fs::read_to_string(&fresh).unwrap(), "all");
    assert_eq!(
        fs::metadata(&fresh).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // A link in its place is removed, and what it leads to is not touched.
    let victim = home.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::remove_file(&fresh).unwrap();
    symlink(&victim, &fresh).unwrap();
    write_beside(&path, "all").unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
}

#[test]
fn a_failed_write_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    let error = write_beside_with(&path, |file| {
        file.write_all(b"hal")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// What the system says where there are no hard links.
const NO_LINKS: [Errno; 5] = [
    Errno::PERM,
    Errno::ACCESS,
    Errno::OPNOTSUPP,
    Errno::NOTSUP,
    Errno::NOSYS,
];

fn without_links(errno: Errno) -> impl FnOnce(&Path, &Path) -> io::Result<()> {
    move |_, _| Err(errno.into())
}

#[test]
fn a_file_that_is_there_is_never_overwritten_with_links_and_without() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    let victim = home.path().join("victim");
    let refused = |put: io::Result<()>| {
        assert_eq!(put.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(!home.path().join("file.new").exists());
    };
    // A link in its place is something that is there, also one that leads nowhere.
    for link in [false, true] {
        if link {
            symlink(&victim, &path).unwrap();
        } else {
            fs::write(&path, "first").unwrap();
        }
        let (fresh, _) = write_beside(&path, "second").unwrap();
        refused(put_new(&fresh, &path));
        for errno in NO_LINKS {
            let (fresh, _) = write_beside(&path, "second").unwrap();
            refused(put_new_with(&fresh, &path, without_links(errno)));
        }
        assert_eq!(
            fs::read_to_string(&path).ok(),
            (!link).then(|| "first".to_owned())
        );
        fs::remove_file(&path).unwrap();
    }
    assert!(!victim.exists());
}

#[test]
fn without_hard_links_a_whole_file_gets_its_name_all_the_same() {
    for errno in NO_LINKS {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let (fresh, _) = write_beside(&path, "whole").unwrap();
        put_new_with(&fresh, &path, without_links(errno)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}

#[test]
fn another_fault_of_the_link_is_told_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS] {
        let (fresh, _) = write_beside(&path, "whole").unwrap();
        let error = put_new_with(&fresh, &path, without_links(errno)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
