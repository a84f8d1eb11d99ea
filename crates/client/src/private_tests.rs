use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refused(path: &Path) -> Exposed {
    match open(path) {
        Err(Fault::Exposed(exposed)) => exposed,
        other => panic!("{other:?}"),
    }
}

fn written(folder: &Path) -> PathBuf {
    let path = folder.join("file");
    let (fresh, _) = write_beside(&path, "text").unwrap();
    fs::rename(fresh, &path).unwrap();
    path
}

#[test]
fn what_is_written_here_is_its_owners_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(open(&path).unwrap().is_some());
    let nested = home.path().join("a/b");
    folder(&nested).unwrap();
    for folder in [home.path().join("a"), nested] {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        check_folder(&folder).unwrap();
    }
}

#[test]
fn what_is_not_there_is_no_fault() {
    let home = tempfile::tempdir().unwrap();
    assert!(open(&home.path().join("nothing")).unwrap().is_none());
}

#[test]
fn every_bit_for_others_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    for bit in 0..6 {
        let mode = 0o600 | 1 << bit;
        set_mode(&path, mode);
        assert_eq!(
            refused(&path),
            Exposed::Mode {
                path: path.clone(),
                mode,
                wanted: 0o600
            }
        );
        let mode = 0o700 | 1 << bit;
        set_mode(home.path(), mode);
        assert!(matches!(
            check_folder(home.path()),
            Err(Fault::Exposed(Exposed::Mode { wanted: 0o700, .. }))
        ));
    }
    set_mode(home.path(), 0o700);
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    // Root gives a file away; nobody else can, but finds one of root's.
    let (path, wanted) = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        (path, 65_534)
    } else {
        (PathBuf::from("/etc/passwd"), 0)
    };
    assert_eq!(
        refused(&path),
        Exposed::Owner {
            path,
            owner: wanted
        }
    );
}

#[test]
fn links_pipes_and_folders_are_no_files() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    let link = home.path().join("link");
    symlink(&path, &link).unwrap();
    let dangling = home.path().join("dangling");
    symlink(home.path().join("nothing"), &dangling).unwrap();
    let pipe = home.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    set_mode(&pipe, 0o600);
    let folder = home.path().join("folder");
    super::folder(&folder).unwrap();
    for path in [link, dangling, pipe, folder] {
        assert!(
            matches!(refused(&path), Exposed::Kind { .. }),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_linked_folder_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = home.path().join("link");
    symlink(elsewhere.path(), &link).unwrap();
    assert!(matches!(
        check_folder(&link),
        Err(Fault::Exposed(Exposed::Kind { .. }))
    ));
}

#[test]
fn a_folder_above_may_be_read_but_not_written_by_others() {
    let home = tempfile::tempdir().unwrap();
    for mode in [0o700, 0o755, 0o1777] {
        set_mode(home.path(), mode);
        check_above(home.path()).unwrap();
    }
    for mode in [0o770, 0o702] {
        set_mode(home.path(), mode);
        assert!(matches!(
            check_above(home.path()),
            Err(Fault::Exposed(Exposed::Mode { wanted: 0o700, .. }))
        ));
    }
    set_mode(home.path(), 0o700);
}

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

#[test]
fn the_text_says_what_to_do() {
    let path = PathBuf::from("/x/key.pem");
    let exposed = Exposed::Mode {
        path: path.clone(),
        mode: 0o644,
        wanted: 0o600,
    };
    assert_eq!(
        exposed.to_string(),
        "/x/key.pem can be used by others (mode 644): make it private with `chmod 600 /x/key.pem`"
    );
    let kind = Exposed::Kind {
        path,
        wanted: "a plain file",
    };
    assert_eq!(
        kind.to_string(),
        "/x/key.pem is not a plain file; links are not followed"
    );
}
