use rustix::io::Errno;

use super::*;

#[test]
fn without_locks_the_lock_file_is_named_and_nothing_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key.pem");
    for errno in [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS] {
        let error = lock_with(&path, |_| Err(errno.into())).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert_eq!(error.path, home.path().join("key.pem.lock"));
        let told = format!("the lock file {}: ", error.path.display());
        assert!(error.to_string().starts_with(&told), "{error}");
    }
}

#[test]
fn a_lock_file_that_cannot_be_made_is_another_fault() {
    let home = tempfile::tempdir().unwrap();
    let error = lock(&home.path().join("nowhere/key.pem")).unwrap_err();
    assert!(!error.is_unsupported(), "{error}");
    assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_lock_keeps_others_out_until_it_is_dropped() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key.pem");
    let held = lock(&path).unwrap();
    let other = |file: &File| file.try_lock().map_err(io::Error::other);
    assert!(lock_with(&path, other).is_err());
    drop(held);
    lock_with(&path, other).unwrap();
}
