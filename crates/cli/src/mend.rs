//! Hints on how to fix a file or folder that cannot be used.

use std::io::{self, ErrorKind};
use std::path::Path;

use xtls_client::{Exposed, HomeError, LockError, PinsError};

use crate::suggest::{Suggest, on_paths};

/// How to fix a home.
pub(crate) fn home(error: &HomeError) -> Option<String> {
    match error {
        HomeError::File { path, source } => system(path, source),
        HomeError::Private(exposed) => Some(private(exposed)),
        HomeError::Lock(error) => lock(error),
        HomeError::Clock { .. } => Some("set the clock, then try again".to_owned()),
        HomeError::Key { path, .. } => Some(away(
            "a key cannot be repaired: restore it from a copy. If you have none, move it away; the next `xtls id` \
             creates a new key, which everyone who has pinned the old one has to pin instead",
            path,
        )),
        HomeError::Account { path, .. } => Some(away(
            "the folder was renamed or copied: put each account's key into its own folder, or move this one away",
            path,
        )),
        HomeError::Pins(error) => pins(error),
        HomeError::Random(_) | _ => None,
    }
}

/// How to fix a pin store.
pub(crate) fn pins(error: &PinsError) -> Option<String> {
    match error {
        PinsError::File { path, source } => system(path, source),
        PinsError::Private(exposed) => Some(private(exposed)),
        PinsError::Lock(error) => lock(error),
        PinsError::Damaged { path, .. } => Some(away(
            "restore it from a copy. If you have none, move it away: then you have to pin every peer and revoke every \
             stolen key again",
            path,
        )),
        PinsError::Vanished { .. } | PinsError::Pin(_) | _ => None,
    }
}

fn private(exposed: &Exposed) -> String {
    match exposed {
        Exposed::Mode { path, wanted, .. } => {
            let command = on_paths(&format!("chmod {wanted:03o}"), &[path]);
            format!(
                "others may have read or changed it; if you are sure that no one did, make it private:{}",
                Suggest::block(&[command])
            )
        }
        Exposed::Above { path, .. } => {
            let command = on_paths("chmod go-w", &[path]);
            format!(
                "let only its owner write there, or use another folder with --home:{}",
                Suggest::block(&[command])
            )
        }
        Exposed::Owner { .. } => {
            "it must be yours, and the folders above it yours or root's: use another folder with --home"
                .to_owned()
        }
        Exposed::Kind { .. } | _ => {
            "put the real file or folder there, or use another folder with --home".to_owned()
        }
    }
}

fn lock(error: &LockError) -> Option<String> {
    if !error.is_unsupported() {
        return system(&error.path, &error.source);
    }
    Some(
        "the file system there does not support locks, without which two processes could lose each other's changes: keep \
         keys and pins elsewhere with --home; or, on NFS, run its lock service (rpc.statd)"
            .to_owned(),
    )
}

fn system(path: &Path, error: &io::Error) -> Option<String> {
    let is = |kind| error.kind() == kind;
    if is(ErrorKind::PermissionDenied) {
        let commands = [
            on_paths("ls -ld", &[path]),
            on_paths("chmod u+rwX", &[path]),
        ];
        return Some(format!(
            "check who owns it, give yourself access if it is yours, or use another folder with --home:{}",
            Suggest::block(&commands)
        ));
    }
    if is(ErrorKind::StorageFull) || is(ErrorKind::QuotaExceeded) {
        let command = path.parent().map(|folder| on_paths("df -h", &[folder]));
        return Some(format!(
            "nothing was changed: free some space there and try again, or use another folder with --home{}",
            Suggest::block(command.as_slice())
        ));
    }
    if is(ErrorKind::ReadOnlyFilesystem) {
        return Some("nothing can be written there: use another folder with --home".to_owned());
    }
    if is(ErrorKind::NotADirectory) {
        return Some(
            "there is a file where a folder should be: use another folder with --home".to_owned(),
        );
    }
    None
}

/// A hint that ends with the command to move a file out of the way.
fn away(what: &str, path: &Path) -> String {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let command = on_paths("mv -i", &[path, Path::new(&name)]);
    format!("{what}:{}", Suggest::block(&[command]))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
