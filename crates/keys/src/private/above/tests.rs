use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::tests::set_mode;
use super::*;

/// The folders `above/between/home` in a folder of their own.
fn three() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let above = root.path().join("above");
    let home = above.join("between").join("home");
    super::super::folder(&home).unwrap();
    (root, above, home)
}

fn refused(path: &Path) -> Exposed {
    match check(path) {
        Err(Fault::Exposed(exposed)) => exposed,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn every_folder_above_is_looked_at_and_the_open_one_is_named() {
    let (root, above, home) = three();
    let between = above.join("between");
    let root = root.path().to_owned();
    for open in [&root, &above, &between, &home] {
        for mode in [0o777, 0o770, 0o702, 0o2775] {
            set_mode(open, mode);
            let named = Exposed::Above {
                path: open.clone(),
                mode: mode & 0o777,
            };
            assert_eq!(refused(&home), named);
        }
        set_mode(open, 0o700);
    }
    check(&home).unwrap();
}

#[test]
fn folders_that_others_may_only_read_and_sticky_ones_are_taken() {
    let (_root, above, home) = three();
    for mode in [0o700, 0o755, 0o1777, 0o1775] {
        set_mode(&above, mode);
        check(&home).unwrap();
    }
}

#[test]
fn a_link_is_followed_to_its_real_place() {
    let (root, above, home) = three();
    let link = root.path().join("link");
    for target in [home.clone(), PathBuf::from("above/between/../between/home")] {
        symlink(target, &link).unwrap();
        check(&link).unwrap();
        set_mode(&above, 0o777);
        assert!(matches!(refused(&link), Exposed::Above { path, .. } if path == above));
        set_mode(&above, 0o700);
        fs::remove_file(&link).unwrap();
    }
    // The way that leads to the link counts as well: there another link could be put in its place.
    let open = root.path().join("open");
    super::super::folder(&open).unwrap();
    let link = open.join("link");
    symlink(&home, &link).unwrap();
    set_mode(&open, 0o777);
    assert!(matches!(refused(&link), Exposed::Above { path, .. } if path == open));
}

#[test]
fn links_that_lead_in_a_circle_are_an_error() {
    let (root, ..) = three();
    let [one, other] = ["one", "other"].map(|name| root.path().join(name));
    symlink(&one, &other).unwrap();
    symlink(&other, &one).unwrap();
    let Err(Fault::System(error)) = check(&one.join("home")) else {
        panic!("it is no circle");
    };
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::LOOP.raw_os_error())
    );
}

#[test]
fn exactly_as_many_links_as_the_system_follows_are_followed() {
    let (root, _, home) = three();
    let at = |number: usize| root.path().join(number.to_string());
    symlink(&home, at(0)).unwrap();
    for number in 1..=MAX_LINKS {
        symlink(at(number - 1), at(number)).unwrap();
    }
    check(&at(MAX_LINKS - 1)).unwrap();
    assert!(matches!(check(&at(MAX_LINKS)), Err(Fault::System(_))));
}

#[test]
fn what_is_not_there_yet_is_no_fault_but_what_is_above_it_is() {
    let (_root, above, home) = three();
    check(&home.join("a/b")).unwrap();
    set_mode(&above, 0o777);
    assert!(matches!(refused(&home.join("a/b")), Exposed::Above { .. }));
}

#[test]
fn a_file_on_the_way_is_no_folder() {
    let (_root, above, _) = three();
    let file = above.join("file");
    fs::write(&file, "").unwrap();
    assert!(
        matches!(check(&file), Err(Fault::System(error)) if error.kind() == io::ErrorKind::NotADirectory)
    );
}

#[test]
fn a_folder_or_link_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give something away.
        return;
    }
    let (root, above, home) = three();
    let link = root.path().join("link");
    symlink(&home, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    let named = |path: &Path| Exposed::Owner {
        path: path.to_owned(),
        owner: 65_534,
    };
    assert_eq!(refused(&link), named(&link));
    std::os::unix::fs::chown(&above, Some(65_534), None).unwrap();
    assert_eq!(refused(&home), named(&above));
}

#[test]
fn a_path_from_the_current_folder_is_looked_at_up_to_the_root() {
    let name = "private::above::tests::a_path_from_the_current_folder_is_looked_at_up_to_the_root";
    if let Some(above) = std::env::var_os("XTLS_TEST_PATH") {
        let named = refused(Path::new("between/./home"));
        assert!(matches!(named, Exposed::Above { path, .. } if path == Path::new(&above)));
        return;
    }
    let (_root, above, _) = three();
    set_mode(&above, 0o777);
    let above = above.canonicalize().unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("XTLS_TEST_PATH", &above)
        .current_dir(&above)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
