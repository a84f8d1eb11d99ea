//! A throw-away server on loopback: its own ports, data folder and certification authority, and two accounts.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

use crate::running::{self, Running};
use crate::workspace::Workspace;
use crate::{certificate, ejabberd, packages, prosody, switch};

pub(crate) const DOMAIN: &str = "localhost";
/// A domain for a component (XEP-0114), whose secret is in a file of this name.
pub(crate) const COMPONENT: &str = "component.localhost";
pub(crate) const ACCOUNTS: [&str; 3] = ["romeo", "juliet", "mercutio"];
/// The socket by which tests turn a server off and on.
const SWITCH: &str = "switch";
/// The SOCKS5 relay (XEP-0065) of the servers that have one.
pub(crate) const RELAY: &str = "proxy.localhost";
/// How often to try other ports if the chosen ones were taken in the meantime.
pub(crate) const ATTEMPTS: u32 = 3;

/// Which server, and at what rate it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Prosody, without rate limits.
    Free,
    /// The same, without a log of every stanza.
    Quiet,
    /// Prosody as Debian ships it: 10 kB/s from each client.
    Stock,
    /// Prosody with the community's modules for SASL2 and Bind 2, without rate limits.
    Sasl2,
    /// ejabberd, without rate limits.
    Ejabberd,
    /// Prosody with its package's configuration.
    PackagedProsody,
    /// ejabberd with its package's configuration and certificate.
    PackagedEjabberd,
}

impl Kind {
    /// The variable that tells a test where the server's description is.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Free => "XTLS_PROSODY_FREE",
            Self::Quiet => "XTLS_PROSODY_QUIET",
            Self::Stock => "XTLS_PROSODY_STOCK",
            Self::Sasl2 => "XTLS_PROSODY_SASL2",
            Self::Ejabberd => "XTLS_EJABBERD",
            Self::PackagedProsody => "XTLS_PROSODY_PACKAGED",
            Self::PackagedEjabberd => "XTLS_EJABBERD_PACKAGED",
        }
    }

    pub(crate) fn is_ejabberd(self) -> bool {
        match self {
            Self::Free | Self::Quiet | Self::Stock | Self::Sasl2 | Self::PackagedProsody => false,
            Self::Ejabberd | Self::PackagedEjabberd => true,
        }
    }

    /// Its certificate is not ours, and there is no component.
    fn is_packaged(self) -> bool {
        match self {
            Self::Free | Self::Quiet | Self::Stock | Self::Sasl2 | Self::Ejabberd => false,
            Self::PackagedProsody | Self::PackagedEjabberd => true,
        }
    }

    /// Whether there is a relay, which tests want there.
    pub(crate) fn has_relay(self) -> bool {
        match self {
            Self::Free | Self::Quiet | Self::Stock | Self::Ejabberd => true,
            Self::Sasl2 | Self::PackagedProsody | Self::PackagedEjabberd => false,
        }
    }

    fn program(self) -> &'static str {
        match self.is_ejabberd() {
            true => "ejabberd",
            false => "prosody",
        }
    }

    fn packages(self) -> &'static [packages::Package] {
        match self.is_ejabberd() {
            true => packages::EJABBERD,
            false => packages::SERVER,
        }
    }

    fn log(self) -> &'static str {
        match self.is_ejabberd() {
            true => "ejabberd.log",
            false => "prosody.log",
        }
    }
}

/// A running server. It ends when this is dropped, and also when this program is killed.
pub(crate) struct Server {
    kind: Kind,
    running: Arc<Mutex<Running>>,
    folder: PathBuf,
    ports: Ports,
    /// Locked while the folder is in use.
    _lock: File,
}

#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) starttls: u16,
    pub(crate) tls: u16,
    pub(crate) component: u16,
    pub(crate) relay: u16,
}

/// `cargo xtask prosody` and `ejabberd`: runs the server until it is interrupted, or for as long as `then` runs.
pub(crate) fn run(workspace: &Workspace, kind: Kind, then: &[OsString]) -> Result<ExitCode> {
    let server = Server::start(workspace, kind)?.with_switch()?;
    let Some((program, args)) = then.split_first() else {
        eprintln!("{}", server.usage(kind));
        let status = server.running().wait()?;
        bail!(
            "the server ended by itself ({status}); its last words:\n{}",
            server.last_words()
        );
    };
    let status = Command::new(program)
        .args(args)
        .env(kind.variable(), server.facts())
        .status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    if status.success() {
        server.discard()?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{} ended with {status}; the server's log: {}",
        program.display(),
        server.file(kind.log()).display()
    );
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}

impl Server {
    /// Installs what is missing, starts a server and waits until its ports answer, those for clients with its certificate.
    pub(crate) fn start(workspace: &Workspace, kind: Kind) -> Result<Self> {
        packages::ensure(&workspace.sh, kind.packages())?;
        let mut tries = 1;
        loop {
            match Self::start_once(workspace, kind) {
                Err(error) if tries < ATTEMPTS => {
                    eprintln!("{error:#}\ntrying again on other ports")
                }
                outcome => return outcome,
            }
            tries += 1;
        }
    }

    fn start_once(workspace: &Workspace, kind: Kind) -> Result<Self> {
        let (folder, lock) = own_folder(&workspace.target.join(kind.program()))?;
        let ports = Ports::choose()?;
        if !kind.is_packaged() {
            certificate::issue(&folder, DOMAIN)?;
        }
        let command = match kind {
            Kind::Free | Kind::Quiet | Kind::Stock | Kind::Sasl2 | Kind::PackagedProsody => {
                prosody::command(workspace, &folder, ports, kind)?
            }
            Kind::Ejabberd | Kind::PackagedEjabberd => ejabberd::command(&folder, ports, kind)?,
        };
        let running = Running::start(kind.program(), command, &folder)?;
        let server = Self {
            kind,
            running: Arc::new(Mutex::new(running)),
            folder,
            ports,
            _lock: lock,
        };
        server.wait_until_ready()?;
        server.write_facts()?;
        Ok(server)
    }

    /// The file that describes the server to a test, one `key=value` per line.
    pub(crate) fn facts(&self) -> PathBuf {
        self.file("facts")
    }

    /// Lets tests turn it off and on: see [`switch::install`].
    pub(crate) fn with_switch(self) -> Result<Self> {
        let (kind, ports, folder) = (self.kind, self.ports, self.folder.clone());
        switch::install(&self.file(SWITCH), &self.running, move |running| {
            if kind.is_ejabberd() {
                fs::remove_file(folder.join(ejabberd::REGISTERED))?;
            }
            running.start_again()?;
            wait_for_accounts(kind, ports, &folder, running)
        })?;
        Ok(self)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the server and removes its folder.
    pub(crate) fn discard(self) -> Result<()> {
        let folder = self.folder.clone();
        drop(self);
        Ok(fs::remove_dir_all(folder)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn wait_until_ready(&self) -> Result<()> {
        wait_for_accounts(self.kind, self.ports, &self.folder, &mut self.running())?;
        // Another program's port may answer: only this server has this certificate.
        let check = match self.kind.is_packaged() {
            // Whatever name it has.
            true => "-brief -CAfile ca.pem -verify_return_error".to_owned(),
            false => {
                format!("-brief -CAfile ca.pem -verify_return_error -verify_hostname {DOMAIN}")
            }
        };
        let Ports { starttls, tls, .. } = self.ports;
        certificate::openssl(
            &self.folder,
            &format!(
                "s_client -connect 127.0.0.1:{starttls} -starttls xmpp -xmpphost {DOMAIN} {check}"
            ),
        )?;
        if self.kind.is_packaged() {
            return Ok(());
        }
        certificate::openssl(
            &self.folder,
            &format!("s_client -connect 127.0.0.1:{tls} {check}"),
        )?;
        Ok(())
    }

    fn write_facts(&self) -> Result<()> {
        let mut facts = format!(
            "domain={DOMAIN}\ncomponent={COMPONENT}\nstarttls_port={}\ntls_port={}\ncomponent_port={}\n\
             component_secret_file={}\nca_file={}\nlog_file={}\nswitch={}\n",
            self.ports.starttls,
            self.ports.tls,
            self.ports.component,
            self.file(COMPONENT).display(),
            self.file("ca.pem").display(),
            self.file(self.kind.log()).display(),
            self.file(SWITCH).display(),
        );
        for account in ACCOUNTS {
            let file = self.file(account);
            facts.push_str(&format!("{account}_password_file={}\n", file.display()));
        }
        Ok(fs::write(self.facts(), facts)?)
    }

    /// A configuration of the program with one of its accounts.
    pub(crate) fn configuration(&self, account: &str) -> String {
        format!(
            "account = \"{account}@{DOMAIN}\"\n\n[accounts.\"{account}@{DOMAIN}\"]\n\
             server = \"127.0.0.1:{}\"\nca_file = \"{}\"\npassword_file = \"{}\"\n",
            self.ports.starttls,
            self.file("ca.pem").display(),
            self.file(account).display(),
        )
    }

    fn usage(&self, kind: Kind) -> String {
        let Ports { starttls, tls, .. } = self.ports;
        let common = format!(
            "--server 127.0.0.1:{starttls} --ca-file {}",
            self.file("ca.pem").display()
        );
        let account = |name: &str| {
            format!(
                "--account {name}@{DOMAIN} --password-file {} {common}",
                self.file(name).display()
            )
        };
        format!(
            "\n{} runs on 127.0.0.1: STARTTLS on port {starttls}, direct TLS on port {tls}. Ctrl-C stops it.\n\
             \n  one terminal     xtls stanzas --listen --accept romeo@{DOMAIN} --trust ask {}\
             \n  another          xtls stanzas juliet@{DOMAIN} --trust ask {}\
             \n  what it saw      tail -f {}\
             \n  for tests        export {}={}\n",
            self.kind.program(),
            account("juliet"),
            account("romeo"),
            self.file(self.kind.log()).display(),
            kind.variable(),
            self.facts().display(),
        )
    }

    fn last_words(&self) -> String {
        running::last_words(&self.folder)
    }
}

/// Waits until the server takes connections, and has its accounts.
fn wait_for_accounts(kind: Kind, ports: Ports, folder: &Path, running: &mut Running) -> Result<()> {
    let all = [ports.starttls, ports.tls, ports.component];
    // The packages' own have no component, and Prosody's no direct TLS.
    let expected = match kind.is_packaged() {
        true => &all[..1],
        false => &all[..],
    };
    for &port in expected {
        running.wait_for(port)?;
    }
    if kind.has_relay() {
        running.wait_for(ports.relay)?;
    }
    if kind.is_ejabberd() {
        let accounts = folder.join(ejabberd::REGISTERED);
        running.wait_until("makes no accounts", || accounts.exists().then_some(()))?;
    }
    Ok(())
}

impl Ports {
    /// Ports that are currently free.
    pub(crate) fn choose() -> Result<Self> {
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (starttls, tls, component, relay) = (any()?, any()?, any()?, any()?);
        Ok(Self {
            starttls: starttls.local_addr()?.port(),
            tls: tls.local_addr()?.port(),
            component: component.local_addr()?.port(),
            relay: relay.local_addr()?.port(),
        })
    }
}

/// An empty folder under `home` that no other run uses, readable by this user only, and the lock that marks it as used.
pub(crate) fn own_folder(home: &Path) -> Result<(PathBuf, File)> {
    fs::create_dir_all(home)?;
    for number in 1..=64 {
        let lock = File::create(home.join(format!("{number}.lock")))?;
        if lock.try_lock().is_err() {
            continue;
        }
        let folder = home.join(number.to_string());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        fs::create_dir(folder.join("data"))?;
        return Ok((folder, lock));
    }
    bail!(
        "64 servers are running already, according to {}",
        home.display()
    )
}

/// A password for the account, also written to a file named after it.
pub(crate) fn new_password(folder: &Path, account: &str) -> Result<String> {
    let password = certificate::openssl(folder, "rand -hex 16")?;
    let password = password.trim();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(account))?;
    writeln!(file, "{password}")?;
    Ok(password.to_owned())
}
