//! Whose key, whose pins, which password.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

use etcetera::BaseStrategy as _;
use xtls_client::Home;
use xtls_stanza::Address;
use zeroize::Zeroizing;

use crate::args::{Account, Server};
use crate::failure::Failure;

/// The folder of keys and pins: `--home`, `XTLS_HOME`, or where the platform keeps an application's data.
pub(crate) fn home(account: &Account) -> Result<Home, Failure> {
    if let Some(home) = &account.home {
        return Ok(Home::at(home));
    }
    let folders = etcetera::choose_base_strategy().map_err(|_| {
        Failure::usage("no home folder is known: say where keys shall live with --home")
    })?;
    Ok(Home::at(folders.data_dir().join("xtls")))
}

/// The account that was named, or the only one that has a key here.
pub(crate) fn account(account: &Account, home: &Home) -> Result<Address, Failure> {
    if let Some(account) = &account.account {
        return Ok(account.clone());
    }
    let known = home.accounts()?;
    match known.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::usage("whose account? name it with --account JID")),
        several => {
            let names: Vec<_> = several.iter().map(Address::as_str).collect();
            let hint = format!("there are keys for {}", names.join(", "));
            Err(Failure::usage("which account? name it with --account JID").hint(hint))
        }
    }
}

/// The password: from a file, the environment or a prompt.
pub(crate) fn password(server: &Server, account: &Address) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = &server.password_file {
        return first_line("password", path);
    }
    if let Ok(password) = std::env::var("XTLS_PASSWORD") {
        return Ok(Zeroizing::new(password));
    }
    if !std::io::stderr().is_terminal() {
        return Err(Failure::usage(format!("no password for {account}"))
            .hint("use --password-file, XTLS_PASSWORD, or a terminal"));
    }
    rpassword::prompt_password(format!("Password of {account}: "))
        .map(Zeroizing::new)
        .map_err(|error| Failure::usage(format!("no password for {account}: {error}")))
}

/// The first line of a file that holds a secret.
pub(crate) fn first_line(secret: &str, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let wrong =
        |why: String| Failure::usage(format!("the {secret} file {}: {why}", path.display()));
    let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut line = Zeroizing::new(String::with_capacity(SECRET_LIMIT));
    let limit = u64::try_from(SECRET_LIMIT).unwrap_or(u64::MAX);
    std::io::BufReader::new(file.take(limit))
        .read_line(&mut line)
        .map_err(|error| wrong(error.to_string()))?;
    let line = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if line.is_empty() {
        return Err(wrong("its first line is empty".to_owned()));
    }
    Ok(line)
}

/// RFC 7613 has no limit; nobody's password is longer, and no code is.
const SECRET_LIMIT: usize = 4096;
