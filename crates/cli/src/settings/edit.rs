//! Changes to the configuration file, which keep what its owner wrote: order, comments and all.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, value};
use xtls_stanza::Address;

use super::{Setting, key_of, read, wrong};
use crate::failure::Failure;

/// The configuration file on its way to be another.
#[derive(Debug)]
pub(crate) struct Editor {
    path: PathBuf,
    document: DocumentMut,
}

impl Editor {
    /// Reads the file, which may be missing.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(path, None, &error.to_string())),
        };
        let document = text
            .parse::<DocumentMut>()
            .map_err(|error| wrong(path, None, error.message()))?;
        Ok(Self {
            path: path.to_owned(),
            document,
        })
    }

    /// Sets the options of an account; others that it has stay.
    pub(crate) fn set_account(&mut self, account: &Address, settings: &[Setting]) {
        let accounts = self.document.entry("accounts").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let Some(accounts) = accounts.as_table_like_mut() else {
            return;
        };
        let account = accounts
            .entry(account.as_str())
            .or_insert(Item::Table(Table::new()));
        let Some(account) = account.as_table_like_mut() else {
            return;
        };
        for setting in settings {
            let item = match setting.values.as_slice() {
                [flag] if flag == "true" => value(true),
                [one] if !REPEATED.contains(&setting.option.as_str()) => value(one.as_str()),
                several => value(several.iter().map(String::as_str).collect::<Array>()),
            };
            account.insert(&key_of(&setting.option), item);
        }
    }

    /// Removes an account. Whether it was there.
    pub(crate) fn remove_account(&mut self, account: &Address) -> bool {
        let accounts = self
            .document
            .get_mut("accounts")
            .and_then(Item::as_table_like_mut);
        let Some(accounts) = accounts else {
            return false;
        };
        let named = accounts
            .iter()
            .map(|(name, _)| name.to_owned())
            .find(|name| {
                crate::peer::Peer::parse_bare(name).is_ok_and(|peer| peer.address() == account)
            });
        let removed = named.is_some_and(|name| accounts.remove(&name).is_some());
        let is_default = self
            .default_account()
            .is_some_and(|default| default == account.as_str());
        if removed && is_default {
            self.document.remove("account");
        }
        removed
    }

    /// The account that is used if none is given.
    pub(crate) fn default_account(&self) -> Option<&str> {
        self.document.get("account").and_then(Item::as_str)
    }

    /// Makes an account the default.
    pub(crate) fn set_default(&mut self, account: &Address) {
        match self.document.get_mut("account") {
            Some(item) => *item = value(account.as_str()),
            None => {
                self.document.insert("account", value(account.as_str()));
            }
        }
    }

    /// Writes the file: afterwards it is the old one or the new one, whatever happens meanwhile.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot write {}: {error}", self.path.display()))
        };
        // A link stays one, and leads to the new file.
        let path = match fs::canonicalize(&self.path) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(failed(error)),
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        make_private(folder).map_err(failed)?;
        write(folder, &path, self.document.to_string().as_bytes()).map_err(failed)
    }
}

/// Makes a folder that only its owner can look into. One that exists stays as it is.
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

fn write(folder: &Path, path: &Path, octets: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(octets)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not even exist.
        let _ = fs::remove_file(&beside);
    }
    written?;
    fs::File::open(folder)?.sync_all()
}

/// Options that are lists in the file, even of one.
const REPEATED: [&str; 1] = ["accept"];
