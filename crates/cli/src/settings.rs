//! The configuration file: accounts, names for peers, and defaults for options.
//!
//! ```toml
//! account = "romeo@montague.example"           # which one, if --account is not given
//!
//! [accounts."romeo@montague.example"]          # options of this account
//! server = "xmpp.montague.example:5222"
//! password_file = "password"                   # next to this file
//!
//! [peers]
//! juliet = "juliet@capulet.example"            # `xtls chat juliet`
//!
//! [defaults.chat]                              # options of one verb
//! trust = "ask"
//! ```
//!
//! Every option has its name from the command line, with `_` for `-`.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use toml_edit::{Document, Item, TableLike, Value};
use xtls_stanza::Address;

use crate::failure::Failure;
use crate::peer::{self, Peer};

pub(crate) use edit::{Editor, make_private};

/// What the configuration file says. A missing one says nothing.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    path: PathBuf,
    account: Option<Address>,
    accounts: BTreeMap<Address, Vec<Setting>>,
    peers: BTreeMap<String, Peer>,
    defaults: BTreeMap<String, Vec<Setting>>,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The name of the option, as on the command line without the hyphens before it.
    pub(crate) option: String,
    /// One value, or several of an option that can be repeated.
    pub(crate) values: Vec<String>,
    /// Where it stands in the file, from 1.
    pub(crate) line: usize,
}

impl Settings {
    /// Where the file is: `config`, or in `home` if that is given, or in the platform's folder for configuration.
    pub(crate) fn path(config: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
        if let Some(config) = config {
            return Some(config.to_owned());
        }
        if let Some(home) = home {
            return Some(home.join(FILE));
        }
        let folders = etcetera::choose_base_strategy().ok()?;
        Some(folders.config_dir().join("xtls").join(FILE))
    }

    /// Reads the file. Only the default one may be missing: `required` says that its name was given.
    pub(crate) fn load(path: &Path, required: bool) -> Result<Self, Failure> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if is_missing(&error) && !required => {
                return Ok(Self {
                    path: path.to_owned(),
                    ..Self::default()
                });
            }
            Err(error) => return Err(wrong(path, None, &error.to_string())),
        };
        Reader { path, text: &text }.settings()
    }

    /// The file that this was read from, or would be.
    pub(crate) fn file(&self) -> &Path {
        &self.path
    }

    /// The account to use if none is given.
    pub(crate) fn account(&self) -> Option<&Address> {
        let mut all = self.accounts.keys();
        self.account
            .as_ref()
            .or_else(|| match (all.next(), all.next()) {
                (Some(only), None) => Some(only),
                (_, _) => None,
            })
    }

    /// All accounts, in order.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&Address, &[Setting])> {
        self.accounts
            .iter()
            .map(|(account, settings)| (account, settings.as_slice()))
    }

    /// The options of an account.
    pub(crate) fn of_account(&self, account: &Address) -> Option<&[Setting]> {
        self.accounts.get(account).map(Vec::as_slice)
    }

    /// The defaults for a verb.
    pub(crate) fn of_verb(&self, verb: &str) -> &[Setting] {
        self.defaults
            .get(verb)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Every verb that has defaults, and their line.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = (&str, &[Setting])> {
        self.defaults
            .iter()
            .map(|(verb, settings)| (verb.as_str(), settings.as_slice()))
    }

    /// The names for peers.
    pub(crate) fn peers(&self) -> &BTreeMap<String, Peer> {
        &self.peers
    }

    /// A failure for what stands in one of its lines.
    pub(crate) fn wrong(&self, line: usize, why: &str) -> Failure {
        wrong(&self.path, Some(line), why)
    }

    /// A path in the file: a relative one is next to the file, `~` is the home folder.
    pub(crate) fn resolve(&self, path: &str) -> String {
        let path = match path.strip_prefix("~/") {
            Some(rest) => match etcetera::home_dir() {
                Ok(home) => home.join(rest),
                Err(_) => PathBuf::from(path),
            },
            None => PathBuf::from(path),
        };
        let folder = self.path.parent().unwrap_or_else(|| Path::new(""));
        folder.join(path).to_string_lossy().into_owned()
    }
}

/// Reads one file.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn settings(&self) -> Result<Settings, Failure> {
        let document = Document::parse(self.text).map_err(|error| {
            let line = error.span().map(|span| self.line(span.start));
            wrong(self.path, line, error.message())
        })?;
        let mut settings = Settings {
            path: self.path.to_owned(),
            ..Settings::default()
        };
        for (key, item) in document.iter() {
            let line = self.at(item);
            match key {
                "account" => settings.account = Some(self.own(line, text_of(item))?),
                "accounts" => {
                    for (name, item) in self.table(key, item)?.iter() {
                        let line = self.at(item);
                        let account = self.own(line, Some(name))?;
                        let options = self.options(name, item)?;
                        if let Some(odd) = options
                            .iter()
                            .find(|setting| !OF_ACCOUNTS.contains(&setting.option.as_str()))
                        {
                            let known = OF_ACCOUNTS.map(key_of).join(", ");
                            let why = format!(
                                "{:?} is no setting of an account; there are {known}",
                                key_of(&odd.option)
                            );
                            return Err(wrong(self.path, Some(odd.line), &why));
                        }
                        settings.accounts.insert(account, options);
                    }
                }
                "peers" => {
                    for (name, item) in self.table(key, item)?.iter() {
                        let line = self.at(item);
                        let peer = self.peer(line, name, text_of(item))?;
                        settings.peers.insert(name.to_owned(), peer);
                    }
                }
                "defaults" => {
                    for (verb, item) in self.table(key, item)?.iter() {
                        settings
                            .defaults
                            .insert(verb.to_owned(), self.options(verb, item)?);
                    }
                }
                other => {
                    let why = format!(
                        "{other:?} is no setting; there are account, [accounts], [peers] and [defaults]"
                    );
                    return Err(wrong(self.path, line, &why));
                }
            }
        }
        if let Some(account) = settings
            .account
            .as_ref()
            .filter(|account| !settings.accounts.contains_key(*account))
            && !settings.accounts.is_empty()
        {
            let line = document.get("account").and_then(|item| self.at(item));
            let why =
                format!("the default account {account} has no section [accounts.\"{account}\"]");
            return Err(wrong(self.path, line, &why));
        }
        Ok(settings)
    }

    fn options(&self, name: &str, item: &Item) -> Result<Vec<Setting>, Failure> {
        let mut options = Vec::new();
        for (key, item) in self.table(name, item)?.iter() {
            let line = self.at(item);
            let values = values_of(item).ok_or_else(|| {
                let why = format!("{key} is text, a number, true or false, or a list of them");
                wrong(self.path, line, &why)
            })?;
            options.push(Setting {
                option: key.replace('_', "-"),
                values,
                line: line.unwrap_or(1),
            });
        }
        Ok(options)
    }

    fn table<'b>(&self, name: &str, item: &'b Item) -> Result<&'b dyn TableLike, Failure> {
        item.as_table_like()
            .ok_or_else(|| wrong(self.path, self.at(item), &format!("{name} is a section")))
    }

    fn own(&self, line: Option<usize>, text: Option<&str>) -> Result<Address, Failure> {
        let why = match text.map(Peer::parse_bare) {
            Some(Ok(peer)) if peer.key().is_none() => return Ok(peer.address().clone()),
            Some(Err(why)) => why,
            Some(Ok(_)) | None => "an account is an address: name@domain".to_owned(),
        };
        Err(wrong(self.path, line, &why))
    }

    fn peer(&self, line: Option<usize>, name: &str, text: Option<&str>) -> Result<Peer, Failure> {
        let why = match text.map(Peer::parse) {
            _ if !peer::is_alias(name) => {
                format!(
                    "{name:?} is no name for a peer: letters, digits, `_`, `-` and `.` make one"
                )
            }
            Some(Ok(peer)) => return Ok(peer),
            Some(Err(why)) => format!("{name}: {why}"),
            None => format!("{name} is an address: \"name@domain\""),
        };
        Err(wrong(self.path, line, &why))
    }

    fn at(&self, item: &Item) -> Option<usize> {
        item.span().map(|span| self.line(span.start))
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        before.iter().filter(|octet| **octet == b'\n').count() + 1
    }
}

fn text_of(item: &Item) -> Option<&str> {
    item.as_str()
}

fn values_of(item: &Item) -> Option<Vec<String>> {
    let value = item.as_value()?;
    match value.as_array() {
        Some(list) => list.iter().map(plain).collect(),
        None => Some(vec![plain(value)?]),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Boolean(yes) => Some(yes.value().to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_) => None,
    }
}

pub(super) fn is_missing(error: &std::io::Error) -> bool {
    // A home that is no folder is told by whoever needs it.
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;

    let mut text = String::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_string(&mut text)?;
    if text.len() > LONGEST {
        return Err(std::io::Error::other("it is longer than 1 MiB"));
    }
    Ok(text)
}

fn wrong(path: &Path, line: Option<usize>, why: &str) -> Failure {
    let path = path.display();
    let why = why.trim_end().replace('\n', " ");
    Failure::usage(match line {
        Some(line) => format!("the configuration {path}, line {line}: {why}"),
        None => format!("the configuration {path}: {why}"),
    })
}

/// The name of an option in the file.
pub(crate) fn key_of(option: &str) -> String {
    option.replace('-', "_")
}

/// The name of the file in its folder.
const FILE: &str = "config.toml";

/// No real file is longer, in bytes.
const LONGEST: usize = 1024 * 1024;

/// What can be set for an account.
pub(crate) const OF_ACCOUNTS: [&str; 10] = [
    "server",
    "direct-tls",
    "ca-file",
    "pin-server",
    "password-file",
    "password-command",
    "resource",
    "allow-plain",
    "trust",
    "accept",
];
