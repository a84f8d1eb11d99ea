//! Where the workspace is, and what cargo reports about it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

/// The workspace this program belongs to.
pub(crate) struct Workspace {
    /// A shell whose working directory is the root.
    pub(crate) sh: Shell,
    pub(crate) root: PathBuf,
    /// The one target folder that every command shares.
    pub(crate) target: PathBuf,
    /// `cargo metadata --no-deps`: our packages, and the dependencies of each.
    pub(crate) metadata: Value,
}

impl Workspace {
    pub(crate) fn open() -> Result<Self> {
        // Read at run time: cargo may reuse a build from another checkout that shares the target folder.
        let own = std::env::var("CARGO_MANIFEST_DIR").context("please run it as `cargo xtask`")?;
        let root = Path::new(&own)
            .parent()
            .context("xtask is in the workspace")?;
        let sh = Shell::new()?;
        sh.change_dir(root);
        let json = cmd!(sh, "cargo metadata --format-version 1 --no-deps")
            .quiet()
            .read()?;
        let metadata: Value = serde_json::from_str(&json)?;
        let target = text(&metadata, "target_directory");
        ensure!(!target.is_empty(), "cargo metadata names no target folder");
        Ok(Self {
            root: root.to_owned(),
            target: PathBuf::from(target),
            sh,
            metadata,
        })
    }

    /// The files of the working tree that git tracks or would track, one path per line; all of them, or those in `folders`.
    pub(crate) fn files(&self, folders: &[&str]) -> Result<String> {
        let files = cmd!(
            self.sh,
            "git ls-files --cached --others --exclude-standard {folders...}"
        );
        Ok(files.quiet().read()?)
    }
}

/// The packages in the output of `cargo metadata`.
pub(crate) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages")
}

/// The array under `key`; if there is none, an empty one.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// The string under `key`; if there is none, an empty one.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
