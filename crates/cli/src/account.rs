//! Finds the account, its key and pins, and its password.

use etcetera::BaseStrategy as _;
use xtls_client::Home;
use xtls_stanza::Address;
use zeroize::Zeroizing;

use crate::args::{Account, Server};
use crate::ask::Person;
use crate::failure::Failure;
use crate::secret;
use crate::suggest::Suggest;

/// The folder for keys and pins: `--home`, `XTLS_HOME`, or the platform's folder for application data.
pub(crate) fn home(account: &Account) -> Result<Home, Failure> {
    if let Some(home) = &account.home {
        return Ok(Home::at(home));
    }
    let folders = etcetera::choose_base_strategy().map_err(|_| {
        Failure::usage("no home folder found: choose a folder for your keys with --home")
    })?;
    Ok(Home::at(folders.data_dir().join("xtls")))
}

/// The account given on the command line, or the only one with a key here.
pub(crate) fn account(args: &Account, home: &Home) -> Result<Address, Failure> {
    if let Some(account) = &args.account {
        return Ok(account.clone());
    }
    let known = home.accounts()?;
    match known.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(
            Failure::usage("no account given: name it with --account JID").hint(format!(
                "or keep it in the configuration:{}",
                Suggest::block(&[Suggest::new(&Account {
                    account: None,
                    ..args.clone()
                })
                .line(&["account", "add"], &["name@domain"])])
            )),
        ),
        several => Err(Failure::usage(
            "several accounts have keys here: choose one with --account JID",
        )
        .hint(format!("there are keys for {}", names(several)))),
    }
}

/// The same for verbs that read or change pins: an account with neither a key nor pins here is most likely mistyped, so
/// nothing is created for it.
pub(crate) fn known(args: &Account, home: &Home) -> Result<Address, Failure> {
    let account = account(args, home)?;
    if home.has(&account)? {
        return Ok(account);
    }
    let others = home.accounts()?;
    let there = match others.as_slice() {
        [] => "there are no keys at all here".to_owned(),
        others => format!("there are keys for {}", names(others)),
    };
    let make = Suggest::new(args).line(&["id"], &[]);
    Err(
        Failure::usage(format!("there is no key for {account} here")).hint(format!(
            "{there}; if the account is right, this creates one:{}",
            Suggest::block(&[make])
        )),
    )
}

fn names(accounts: &[Address]) -> String {
    let names: Vec<_> = accounts.iter().map(Address::as_str).collect();
    names.join(", ")
}

/// Reads the password from a file, a command, the environment or a prompt.
pub(crate) async fn password(
    server: &Server,
    account: &Address,
    person: &Person,
) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = &server.password_file {
        return secret::in_file("password", path);
    }
    if let Some(command) = &server.password_command {
        return secret::in_output("password", command).await;
    }
    if let Some(password) = secret::in_variable("password", "XTLS_PASSWORD")? {
        return Ok(password);
    }
    person.password(account).await.ok_or_else(|| {
        Failure::usage(format!("no password for {account}"))
            .hint("use --password-file or XTLS_PASSWORD, or run it in a terminal")
    })
}
