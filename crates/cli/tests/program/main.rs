//! The program alone, without any server: what it creates and refuses, and how it reports that.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod answers;
mod configuration;
mod demo;
mod home;
mod papers;
mod peers;
mod process;
mod secrets;
mod usage;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const ROMEO: &str = "romeo@montague.example";
const JULIET: &str = "juliet@capulet.example";

/// The program in a separate folder, whose name a shell would split.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("an account's")).unwrap();
        Self { folder }
    }

    /// The same with a key for Romeo.
    fn settled() -> Self {
        let stage = Self::new();
        stage.run(&["id", "--account", ROMEO]).expect(0);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("an account's/home")
    }

    /// A file that only its owner can read.
    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtls"));
        command.args(args).env_remove("XTLS_ACCOUNT");
        command.env_remove("XTLS_PASSWORD");
        command.env("XTLS_HOME", self.home());
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended(self.command(args).output().unwrap())
    }

    /// Logs in, which fails because no server is listening.
    fn login(&self, verb: &[&str]) -> Command {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = unused.local_addr().unwrap().to_string();
        let mut command = self.command(verb);
        command.args(["--server", &server]);
        command
    }

    /// Runs a suggested command as a user would paste it.
    fn paste(&self, line: &str) -> Ended {
        let program = Path::new(env!("CARGO_BIN_EXE_xtls"));
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&folders));
        let output = Command::new("sh")
            .args(["-c", line])
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env_remove("XTLS_ACCOUNT")
            .env_remove("XTLS_HOME")
            .current_dir(self.folder.path())
            .output();
        Ended(output.unwrap())
    }

    /// Everything in the folder: names, modes, inodes and contents.
    fn tree(&self) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = std::fs::symlink_metadata(&path).unwrap();
                let content = if metadata.is_dir() {
                    folders.push(path.clone());
                    Vec::new()
                } else {
                    std::fs::read(&path).unwrap()
                };
                tree.insert(path, (metadata.mode(), metadata.ino(), content));
            }
        }
        tree
    }
}

/// How a run ended.
struct Ended(Output);

impl Ended {
    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        let said = (self.output(), self.said());
        assert_eq!(self.0.status.code(), Some(code), "{said:?}");
        self
    }

    /// Requires that standard error contains these words.
    #[track_caller]
    fn saying(&self, words: &str) -> &Self {
        assert!(
            self.said().contains(words),
            "{words:?} is not in {}",
            self.said()
        );
        self
    }

    fn output(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn said(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// The suggested commands, each on its own line and indented further than the text around it.
    fn commands(&self) -> Vec<String> {
        let said = self.said();
        let lines = said
            .lines()
            .filter_map(|line| line.strip_prefix("        "));
        lines.map(|line| line.trim_start().to_owned()).collect()
    }
}

/// JSON objects, one per line.
fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn text(path: &impl AsRef<OsStr>) -> &str {
    path.as_ref().to_str().unwrap()
}
