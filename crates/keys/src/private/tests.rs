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
fn the_text_says_what_is_wrong_with_which_file() {
    let path = PathBuf::from("/x/key.pem");
    let exposed = Exposed::Mode {
        path: path.clone(),
        mode: 0o644,
        wanted: 0o600,
    };
    assert_eq!(
        exposed.to_string(),
        "/x/key.pem can be used by others (mode 644) and should be its owner's alone (mode 600)"
    );
    let kind = Exposed::Kind {
        path,
        wanted: "a plain file",
    };
    assert_eq!(
        kind.to_string(),
        "/x/key.pem is not a plain file; links are not followed"
    );
    let above = Exposed::Above {
        path: PathBuf::from("/x"),
        mode: 0o777,
    };
    assert_eq!(
        above.to_string(),
        "others may write to the folder /x (mode 777), and put another folder in the place of one below it"
    );
}
