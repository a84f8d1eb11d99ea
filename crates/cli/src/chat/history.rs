//! `--history`: what was said, one JSON object on each line of a file.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use xtls_stanza::Address;

use crate::failure::Failure;
use crate::say::{Say, escaped};
use crate::suggest::on_paths;

/// The file, or nothing if nobody has asked for one. Clones write to the same one.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// `None` once it could not be written.
    file: Arc<Mutex<Option<File>>>,
    path: PathBuf,
    say: Say,
}

impl History {
    /// Opens the file at this path, and creates it if there is none.
    pub(super) fn open(path: Option<&Path>, say: Say) -> Result<Self, Failure> {
        let file = path.map(open).transpose()?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            path: path.map(Path::to_owned).unwrap_or_default(),
            say,
        })
    }

    /// A message of the peer, which was shown.
    pub(super) fn received(&self, peer: &Address, text: &str) {
        self.write(peer, text, json!({"direction": "in"}));
    }

    /// A line of ours, when it is known whether it has arrived.
    pub(super) fn sent(&self, peer: &Address, text: &str, delivered: bool) {
        self.write(
            peer,
            text,
            json!({"direction": "out", "delivered": delivered}),
        );
    }

    fn write(&self, peer: &Address, text: &str, mut line: Value) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = file.as_mut() else {
            return;
        };
        let now = Timestamp::now();
        if let Value::Object(fields) = &mut line {
            fields.insert("time".to_owned(), Value::from(format!("{now:.3}")));
            fields.insert("peer".to_owned(), Value::from(peer.as_str()));
            fields.insert("text".to_owned(), Value::from(text));
        }
        // One write, so that two programs with one file do not tear each other's lines.
        let written = open.write_all(format!("{}\n", escaped(&line.to_string())).as_bytes());
        self.check(&mut file, written);
    }

    /// Brings it to the disk.
    pub(super) fn finish(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = file.as_ref() {
            let written = match open.sync_all() {
                // What is no file on a disk has nothing to bring there.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
                written => written,
            };
            self.check(&mut file, written);
        }
    }

    /// A full disk ends the history, but not the conversation.
    fn check(&self, file: &mut Option<File>, written: std::io::Result<()>) {
        if let Err(error) = written {
            *file = None;
            let why = format!("{}: {error}", self.path.display());
            let text = format_args!("the history is not kept any more: {why}");
            self.say
                .warn("not_kept", &[("why", why.as_str().into())], text);
        }
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let fault = |error: std::io::Error| {
        Failure::usage(format!(
            "cannot keep a history in {}: {error}",
            path.display()
        ))
    };
    let file = options.open(path).map_err(fault)?;
    #[cfg(unix)]
    {
        let about = file.metadata().map_err(fault)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions());
        if about.is_file() && mode & 0o077 != 0 {
            let failure = format!("{}: others could read this history", path.display());
            return Err(Failure::usage(failure).hint(on_paths("chmod 600", &[path])));
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::args::Output;

    fn say() -> Say {
        Say::new(&Output {
            json: false,
            verbose: 0,
            quiet: true,
        })
    }

    fn juliet() -> Address {
        Address::new("juliet@capulet.example/xtls").unwrap()
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("his story");
        std::fs::write(&path, "old\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let failure = History::open(Some(&path), say()).unwrap_err();
        assert!(failure.hint.unwrap().contains("chmod 600 '"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old\n");
    }

    #[test]
    fn each_message_is_a_line_behind_what_is_there_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        for _ in 0..2 {
            let history = History::open(Some(&path), say()).unwrap();
            history.received(&juliet(), "two\nlines \u{9b}31m \u{202e}");
            history.sent(&juliet(), "yes", true);
            history.clone().sent(&juliet(), "no", false);
            history.finish();
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(['\u{9b}', '\u{202e}']), "{text}");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[3]["text"], "two\nlines \u{9b}31m \u{202e}");
        assert_eq!(lines[3]["direction"], "in");
        assert_eq!(lines[4]["delivered"], true);
        assert_eq!(lines[5]["delivered"], false);
        assert_eq!(lines[5]["peer"], "juliet@capulet.example/xtls");
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        let history = History::open(None, say()).unwrap();
        history.received(&juliet(), "x");
        history.finish();
    }
}
