//! `xtls account`: which accounts there are, and how to reach their servers.

use std::path::{Path, PathBuf};

use serde_json::Value;
use xtls_client::xmpp;
use xtls_stanza::Address;

use crate::account::{self, home};
use crate::answer::answer;
use crate::args::{Account, AccountAdd, AccountName, AccountRemove, Accounts, Server};
use crate::ask::Person;
use crate::failure::Failure;
use crate::link;
use crate::login;
use crate::say::Say;
use crate::secret;
use crate::settings::{Editor, Setting, Settings, key_of};
use crate::stop::Stop;
use crate::suggest::Suggest;

/// The verbs that need no server.
pub(crate) fn run(verb: &Accounts, settings: &Settings, say: Say) -> Result<(), Failure> {
    match verb {
        // Handled by `add`, which has to wait for a server.
        Accounts::Add(_) => Ok(()),
        Accounts::List(args) => list(args, settings, say),
        Accounts::Remove(args) => remove(args, settings, say),
        Accounts::Default(args) => default(args, settings, say),
    }
}

/// Logs in, and keeps how that was done. Nothing is written unless it has worked.
pub(crate) async fn add(
    args: &AccountAdd,
    settings: &Settings,
    say: Say,
    stop: Stop,
) -> Result<(), Failure> {
    let account = &args.jid;
    // A file that could not be written is told before anybody types a password.
    let mut editor = Editor::open(settings.file())?;
    let home = home(&args.account)?;
    home.key(account)?;
    let person = Person::at_the_terminal();
    let password = tokio::select! {
        password = account::password(&args.server, account, &person) => password?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    let options = link::options(
        &args.server,
        account,
        password.clone(),
        link::random_resource()?,
    )?;
    say.event(
        "connecting",
        &[("address", account.as_str().into())],
        format_args!("logging in as {account} …"),
    );
    let uplink = tokio::select! {
        uplink = xmpp::connect(options) => uplink.map_err(|error| login::failure(&error))?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    // The result no longer matters: the login has worked.
    let _ = tokio::time::timeout(link::GOODBYE, uplink.close()).await;
    let fingerprint = home.identity(account)?.fingerprint();
    let mut kept = kept(&args.server)?;
    if !kept
        .iter()
        .any(|setting| setting.option.starts_with("password-"))
        && wants_file(
            args,
            &password_file(settings.file(), account),
            account,
            &person,
        )
        .await
    {
        let path = password_file(settings.file(), account);
        secret::keep(&path, &password)?;
        kept.push(setting("password-file", &path.to_string_lossy()));
    }
    let first = settings.account().is_none();
    editor.set_account(account, &kept);
    if first {
        editor.set_default(account);
    }
    editor.save()?;
    let file = settings.file().display();
    let fields = [
        ("address", Value::from(account.as_str())),
        ("fingerprint", Value::from(fingerprint.hex())),
        ("default", Value::from(first)),
        ("config", Value::from(file.to_string())),
    ];
    let invite = Suggest::new(&args.account).with_account(account);
    let text = format!(
        "{account} is added: the login works, and your key is ready. This shows what your contacts need to recognise you:{}",
        Suggest::block(&[invite.line(&["id"], &[])])
    );
    say.event("account_added", &fields, text);
    Ok(())
}

/// What of the command line is to be in the configuration. Paths become absolute, because others will start elsewhere.
fn kept(server: &Server) -> Result<Vec<Setting>, Failure> {
    let mut kept = Vec::new();
    let path = |option: &str, path: &Option<PathBuf>| match path {
        Some(path) => std::path::absolute(path)
            .map(|path| Some(setting(option, &path.to_string_lossy())))
            .map_err(|error| Failure::usage(format!("--{option}: {error}"))),
        None => Ok(None),
    };
    if let Some((host, port)) = &server.server {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        kept.push(setting("server", &format!("{host}:{port}")));
    }
    if server.direct_tls {
        kept.push(setting("direct-tls", "true"));
    }
    kept.extend(path("ca-file", &server.ca_file)?);
    if let Some(pin) = &server.pin_server {
        kept.push(setting("pin-server", &pin.to_string()));
    }
    kept.extend(path("password-file", &server.password_file)?);
    if let Some(command) = &server.password_command {
        kept.push(setting("password-command", command));
    }
    if let Some(resource) = &server.resource {
        kept.push(setting("resource", resource));
    }
    if server.allow_plain {
        kept.push(setting("allow-plain", "true"));
    }
    Ok(kept)
}

fn setting(option: &str, value: &str) -> Setting {
    Setting {
        option: option.to_owned(),
        values: vec![value.to_owned()],
        line: 0,
    }
}

/// Where the password of an account is kept, if it is: beside the configuration, by the name of the account.
fn password_file(config: &Path, account: &Address) -> PathBuf {
    let folder = config.parent().unwrap_or_else(|| Path::new(""));
    // No address has a slash before its resource.
    folder.join("passwords").join(account.bare())
}

async fn wants_file(args: &AccountAdd, path: &Path, account: &Address, person: &Person) -> bool {
    if args.save_password {
        return true;
    }
    // A variable is there the next time as well.
    if std::env::var_os("XTLS_PASSWORD").is_some() {
        return false;
    }
    person.keep_password(account, path).await.unwrap_or(false)
}

fn list(args: &Account, settings: &Settings, say: Say) -> Result<(), Failure> {
    let home = home(args)?;
    let mut none = true;
    for (account, options) in settings.accounts() {
        none = false;
        let is_default = settings.account() == Some(account);
        let key = home.key(account)?.map(|identity| identity.fingerprint());
        let values = |setting: &Setting| setting.values.join(" ");
        let mut fields = vec![
            ("address", Value::from(account.as_str())),
            ("default", Value::from(is_default)),
            (
                "fingerprint",
                key.map_or(Value::Null, |key| key.hex().into()),
            ),
        ];
        let named: Vec<(String, Value)> = options
            .iter()
            .map(|setting| (key_of(&setting.option), Value::from(values(setting))))
            .collect();
        fields.extend(
            named
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let mut text = format!("{account}{}\n", if is_default { "  (default)" } else { "" });
        for setting in options {
            text.push_str(&format!(
                "    {:<18}{}\n",
                key_of(&setting.option),
                values(setting)
            ));
        }
        answer("account", &fields, &text, say)?;
    }
    if none {
        let add = Suggest::new(args).line(&["account", "add"], &["name@domain"]);
        let text = format!(
            "no accounts in {} yet; this adds one:{}",
            settings.file().display(),
            Suggest::block(&[add])
        );
        say.event("empty", &[], text);
    }
    Ok(())
}

fn remove(args: &AccountRemove, settings: &Settings, say: Say) -> Result<(), Failure> {
    let account = &args.jid;
    let mut editor = Editor::open(settings.file())?;
    if !editor.remove_account(account) {
        return Err(unknown(account, settings));
    }
    editor.save()?;
    let password = password_file(settings.file(), account);
    let forgotten = match std::fs::remove_file(&password) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(Failure::failed(format!(
                "{account} is removed, but its password is still in {}: {error}",
                password.display()
            )));
        }
    };
    let home = home(&args.account)?;
    let folder = home.account(account);
    let keys = match home.has(account)? {
        true => format!("; its key and pins stay in {}", folder.display()),
        false => String::new(),
    };
    let fields = [
        ("address", account.as_str().into()),
        ("password_removed", forgotten.into()),
    ];
    say.event(
        "account_removed",
        &fields,
        format_args!("{account} is removed{keys}"),
    );
    if settings.account() == Some(account) && settings.accounts().count() > 1 {
        let choose = Suggest::new(&args.account).line(&["account", "default"], &["name@domain"]);
        say.event(
            "no_default",
            &[],
            format_args!(
                "there is no default account now; this chooses one:{}",
                Suggest::block(&[choose])
            ),
        );
    }
    Ok(())
}

fn default(args: &AccountName, settings: &Settings, say: Say) -> Result<(), Failure> {
    let account = &args.jid;
    if settings.of_account(account).is_none() {
        return Err(unknown(account, settings));
    }
    let mut editor = Editor::open(settings.file())?;
    editor.set_default(account);
    editor.save()?;
    let fields = [("address", account.as_str().into())];
    say.event(
        "default_account",
        &fields,
        format_args!("{account} is the account to use from now on"),
    );
    Ok(())
}

fn unknown(account: &Address, settings: &Settings) -> Failure {
    let names: Vec<&str> = settings
        .accounts()
        .map(|(account, _)| account.as_str())
        .collect();
    let there = match names.as_slice() {
        [] => "there are none in it".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    Failure::usage(format!(
        "{account} is no account of {}",
        settings.file().display()
    ))
    .hint(there)
}
