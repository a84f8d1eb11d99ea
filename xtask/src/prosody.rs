//! A throw-away Prosody on loopback: own ports, own data folder, own certification authority, two accounts.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::certificate;
use crate::packages;
use crate::workspace::Workspace;

const DOMAIN: &str = "localhost";
const ACCOUNTS: [&str; 2] = ["romeo", "juliet"];
/// How long a server may take to start, and then to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a server that starts or stops.
const LOOK: Duration = Duration::from_millis(20);
/// How often other ports are tried when somebody took the chosen ones in between.
const ATTEMPTS: u32 = 3;

/// How fast the server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    /// As fast as it can.
    Off,
    /// As Debian ships it: 10 kB/s from each client.
    Stock,
}

impl Limits {
    /// The variable that tells a test where the server's facts are.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Off => "XTLS_PROSODY_FREE",
            Self::Stock => "XTLS_PROSODY_STOCK",
        }
    }
}

/// A running server. It ends when this is dropped, and also when this program is killed.
pub(crate) struct Prosody {
    process: Child,
    /// Waits for the end of its input, which comes when this program ends in whatever way; then ends the server.
    guard: Child,
    folder: PathBuf,
    ports: Ports,
    /// Locked while the folder is in use.
    _lock: File,
}

#[derive(Clone, Copy)]
struct Ports {
    starttls: u16,
    tls: u16,
}

/// `cargo xtask prosody`: runs the server until it is interrupted, or as long as `then` runs.
pub(crate) fn run(workspace: &Workspace, limits: Limits, then: &[OsString]) -> Result<ExitCode> {
    let mut server = Prosody::start(workspace, limits)?;
    let Some((program, args)) = then.split_first() else {
        eprintln!("{}", server.usage(limits));
        let status = server.process.wait()?;
        bail!(
            "the server ended by itself ({status}); its last words:\n{}",
            server.last_words()
        );
    };
    let status = Command::new(program)
        .args(args)
        .env(limits.variable(), server.facts())
        .status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    if status.success() {
        server.discard()?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{} ended with {status}; the server's log: {}",
        program.display(),
        server.file("prosody.log").display()
    );
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}

impl Prosody {
    /// Installs what is missing, starts a server and waits until both its ports answer with its certificate.
    pub(crate) fn start(workspace: &Workspace, limits: Limits) -> Result<Self> {
        packages::ensure(&workspace.sh, packages::SERVER)?;
        let mut tries = 1;
        loop {
            match Self::start_once(workspace, limits) {
                Err(error) if tries < ATTEMPTS => eprintln!("{error:#}\nonce more, on other ports"),
                outcome => return outcome,
            }
            tries += 1;
        }
    }

    fn start_once(workspace: &Workspace, limits: Limits) -> Result<Self> {
        let (folder, lock) = own_folder(&workspace.target.join("prosody"))?;
        let ports = Ports::choose()?;
        certificate::issue(&folder, DOMAIN)?;
        fs::write(
            folder.join("prosody.cfg.lua"),
            config(&folder, ports, limits)?,
        )?;
        register(workspace, &folder)?;

        let console = File::create(folder.join("console.log"))?;
        // In groups of their own: an interrupt from the keyboard reaches this program only, and the guard does the rest.
        let process = Command::new(program("prosody")?)
            .arg("-F")
            .arg("--config")
            .arg(folder.join("prosody.cfg.lua"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .process_group(0)
            .spawn()
            .context("cannot run prosody")?;
        let guard = Command::new("sh")
            .args(["-c", "cat >/dev/null; kill \"$1\" 2>/dev/null", "guard"])
            .arg(process.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn();
        let guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                let mut process = process;
                process.kill()?;
                process.wait()?;
                return Err(error).context("cannot run sh");
            }
        };
        let mut server = Self {
            process,
            guard,
            folder,
            ports,
            _lock: lock,
        };
        server.wait_until_ready()?;
        server.write_facts()?;
        Ok(server)
    }

    /// The file that tells a test all it needs, one `key=value` a line.
    pub(crate) fn facts(&self) -> PathBuf {
        self.file("facts")
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

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for port in [self.ports.starttls, self.ports.tls] {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            while let Err(error) = TcpStream::connect_timeout(&address, PATIENCE) {
                if let Some(status) = self.process.try_wait()? {
                    bail!("prosody ended with {status}:\n{}", self.last_words());
                }
                if Instant::now() > deadline {
                    bail!(
                        "prosody does not answer on port {port} ({error}):\n{}",
                        self.last_words()
                    );
                }
                std::thread::sleep(LOOK);
            }
        }
        // A port that answers may be somebody else's: only this server has this certificate.
        let check = format!("-brief -CAfile ca.pem -verify_return_error -verify_hostname {DOMAIN}");
        let Ports { starttls, tls } = self.ports;
        certificate::openssl(
            &self.folder,
            &format!(
                "s_client -connect 127.0.0.1:{starttls} -starttls xmpp -xmpphost {DOMAIN} {check}"
            ),
        )?;
        certificate::openssl(
            &self.folder,
            &format!("s_client -connect 127.0.0.1:{tls} {check}"),
        )?;
        Ok(())
    }

    fn write_facts(&self) -> Result<()> {
        let mut facts = format!(
            "domain={DOMAIN}\nstarttls_port={}\ntls_port={}\nca_file={}\nlog_file={}\n",
            self.ports.starttls,
            self.ports.tls,
            self.file("ca.pem").display(),
            self.file("prosody.log").display(),
        );
        for account in ACCOUNTS {
            let file = self.file(account);
            facts.push_str(&format!("{account}_password_file={}\n", file.display()));
        }
        Ok(fs::write(self.facts(), facts)?)
    }

    fn usage(&self, limits: Limits) -> String {
        let Ports { starttls, tls } = self.ports;
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
            "\nProsody runs on 127.0.0.1: STARTTLS on port {starttls}, direct TLS on port {tls}. Ctrl-C stops it.\n\
             \n  one terminal     xtls stanzas --listen --accept romeo@{DOMAIN} --trust ask {}\
             \n  another          xtls stanzas juliet@{DOMAIN} --trust ask {}\
             \n  what it saw      tail -f {}\
             \n  for tests        export {}={}\n",
            account("juliet"),
            account("romeo"),
            self.file("prosody.log").display(),
            limits.variable(),
            self.facts().display(),
        )
    }

    /// The end of what the server wrote.
    fn last_words(&self) -> String {
        let mut words = String::new();
        for name in ["console.log", "prosody.log"] {
            let text = fs::read_to_string(self.file(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(20)) {
                words.push_str(line);
                words.push('\n');
            }
        }
        words
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        drop(self.guard.stdin.take());
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > deadline {
                eprintln!("prosody does not stop: killed");
                if let Err(error) = self
                    .process
                    .kill()
                    .and_then(|()| self.process.wait().map(drop))
                {
                    eprintln!("cannot kill prosody: {error}");
                }
                break;
            }
            std::thread::sleep(LOOK);
        }
        if let Err(error) = self.guard.wait() {
            eprintln!("cannot wait for the guard of prosody: {error}");
        }
    }
}

impl Ports {
    /// Two ports that are free now.
    fn choose() -> Result<Self> {
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (starttls, tls) = (any()?, any()?);
        Ok(Self {
            starttls: starttls.local_addr()?.port(),
            tls: tls.local_addr()?.port(),
        })
    }
}

/// An empty folder under `home` that no other run uses, for this user's eyes only, and the lock that says so.
fn own_folder(home: &Path) -> Result<(PathBuf, File)> {
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
    bail!("64 servers run already, says {}", home.display())
}

fn config(folder: &Path, ports: Ports, limits: Limits) -> Result<String> {
    let (modules, settings) = match limits {
        Limits::Off => ("", ""),
        Limits::Stock => (
            "\"limits\";",
            "limits = { c2s = { rate = \"10kb/s\" }, s2sin = { rate = \"30kb/s\" } }",
        ),
    };
    let folder = folder
        .to_str()
        .context("the target folder's name is not UTF-8")?;
    Ok(include_str!("../prosody/prosody.cfg.lua")
        .replace("@FOLDER@", folder)
        .replace("@STARTTLS_PORT@", &ports.starttls.to_string())
        .replace("@TLS_PORT@", &ports.tls.to_string())
        .replace("@DOMAIN@", DOMAIN)
        .replace("@MORE_MODULES@", modules)
        .replace("@MORE_SETTINGS@", settings))
}

/// Makes the accounts, each with a password of its own in a file named for it.
fn register(workspace: &Workspace, folder: &Path) -> Result<()> {
    let sh = &workspace.sh;
    let prosodyctl = program("prosodyctl")?;
    let config = folder.join("prosody.cfg.lua");
    for account in ACCOUNTS {
        let password = certificate::openssl(folder, "rand -hex 16")?;
        let password = password.trim();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(account))?;
        writeln!(file, "{password}")?;
        cmd!(
            sh,
            "{prosodyctl} --config {config} register {account} {DOMAIN} {password}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
    }
    Ok(())
}

fn program(name: &str) -> Result<PathBuf> {
    packages::find(name).with_context(|| format!("{name} is not installed"))
}
