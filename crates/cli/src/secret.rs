//! Passwords and codes, from places where other users of this machine cannot read them.

use std::fs::{self, Metadata};
use std::io::{BufRead as _, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::settings;
use crate::suggest::{Suggest, on_paths};

/// The first line of an environment variable that holds a secret; `None` if it is not set.
pub(crate) fn in_variable(secret: &str, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(text) = std::env::var_os(name) else {
        return Ok(None);
    };
    let wrong = |why| Failure::usage(format!("the {secret} in {name}: {why}"));
    let text = text.into_string().map_err(|octets| {
        drop(Zeroizing::new(octets.into_encoded_bytes()));
        wrong("it is not UTF-8")
    })?;
    first_line(&Zeroizing::new(text)).map(Some).map_err(wrong)
}

/// The first line of a file that holds a secret, which others must not be able to read.
pub(crate) fn in_file(secret: &str, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let wrong =
        |why: String| Failure::usage(format!("the {secret} file {}: {why}", path.display()));
    let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if let Err((why, hint)) = check(path, &metadata) {
        return Err(wrong(why).hint(hint));
    }
    // Large enough for the longest line, so that the text is never moved to memory that is not wiped.
    let mut line = Zeroizing::new(String::with_capacity(SECRET_LIMIT + LINE_END + 1));
    let most = u64::try_from(SECRET_LIMIT + LINE_END + 1).unwrap_or(u64::MAX);
    std::io::BufReader::new(file.take(most))
        .read_line(&mut line)
        .map_err(|error| wrong(error.to_string()))?;
    first_line(&line).map_err(|why| wrong(why.to_owned()))
}

/// The first line that a command prints: what password managers do.
pub(crate) async fn in_output(secret: &str, command: &str) -> Result<Zeroizing<String>, Failure> {
    let wrong = |why: String| Failure::usage(format!("the {secret} command `{command}`: {why}"));
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        // Standard input is that of the conversation.
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| wrong(error.to_string()))?
        .wait_with_output()
        .await
        .map_err(|error| wrong(error.to_string()))?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(wrong(format!("it failed ({})", output.status)));
    }
    let text = std::str::from_utf8(&printed)
        .map_err(|_| wrong("what it printed is not UTF-8".to_owned()))?;
    first_line(text).map_err(|why| wrong(why.replace("its", "the")))
}

/// Writes a secret into a new file that only its owner can read, in the place of an old one.
pub(crate) fn keep(path: &Path, secret: &str) -> Result<(), Failure> {
    use std::io::Write as _;

    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        settings::make_private(folder).map_err(failed)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(secret.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .map_err(failed)
}

/// The text before the first line end, which editors, `echo` and tools for container secrets append.
fn first_line(text: &str) -> Result<Zeroizing<String>, &'static str> {
    let line = text.split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("its first line is empty");
    }
    if line.len() > SECRET_LIMIT {
        return Err("its first line is longer than 4096 bytes");
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Checks the file of a secret; the error is what is wrong with it and what to do about it.
#[cfg(unix)]
fn check(path: &Path, metadata: &Metadata) -> Result<(), (String, String)> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    // Others cannot read a terminal, even if its mode lets them write to it.
    if metadata.file_type().is_char_device() {
        return Ok(());
    }
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    match judge(rustix::process::geteuid().as_raw(), owner, mode) {
        Verdict::Private => Ok(()),
        Verdict::Foreign => Err((
            format!("it belongs to another user (uid {owner})"),
            "put the secret in a file that you own".to_owned(),
        )),
        Verdict::Open => Err((
            format!("others can read or change it (mode {mode:03o})"),
            format!(
                "make it private:{}",
                Suggest::block(&[on_paths("chmod 600", &[path])])
            ),
        )),
    }
}

/// Whether a file is suitable for a secret.
#[cfg(unix)]
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Private,
    Open,
    Foreign,
}

/// OpenSSH's rule for private keys (`sshkey_perm_ok`): others must not be able to read the user's own file. Who may read a
/// file that belongs to root (containers mount secrets that way) is up to root, as long as others cannot change it. Root may
/// use anyone's file (a container may get one from its host); other users may not use another user's.
#[cfg(unix)]
fn judge(user: u32, owner: u32, mode: u32) -> Verdict {
    let forbidden = match (user, owner) {
        (0, _) => 0o077,
        (_, 0) => 0o022,
        (user, owner) if user == owner => 0o077,
        (_, _) => return Verdict::Foreign,
    };
    if mode & forbidden == 0 {
        Verdict::Private
    } else {
        Verdict::Open
    }
}

#[cfg(not(unix))]
fn check(_: &Path, _: &Metadata) -> Result<(), (String, String)> {
    Ok(())
}

/// RFC 8265 sets no limit, but no real password or code is longer.
const SECRET_LIMIT: usize = 4096;

/// The longest line end, in bytes.
const LINE_END: usize = 2;

#[cfg(test)]
#[cfg(unix)]
mod tests;
