//! Programs that are not Rust crates: looked up, installed where that is possible, requested where it is not.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// A program, and the package that provides it.
pub(crate) struct Package {
    program: &'static str,
    /// The package's name on Debian.
    debian: &'static str,
    /// The package's name anywhere else.
    elsewhere: &'static str,
}

impl Package {
    pub(crate) const fn new(
        program: &'static str,
        debian: &'static str,
        elsewhere: &'static str,
    ) -> Self {
        Self {
            program,
            debian,
            elsewhere,
        }
    }
}

/// What a throw-away server needs.
pub(crate) const SERVER: &[Package] = &[
    Package {
        program: "prosody",
        debian: "prosody",
        elsewhere: "Prosody 0.12 or later (https://prosody.im)",
    },
    Package {
        program: "prosodyctl",
        debian: "prosody",
        elsewhere: "prosodyctl, which comes with Prosody",
    },
    Package {
        // A terminal whose screen can be read.
        program: "tmux",
        debian: "tmux",
        elsewhere: "tmux 3.3 or later",
    },
    Package {
        program: "openssl",
        debian: "openssl",
        elsewhere: "the openssl command, 3.0 or later",
    },
];

/// What the other kind of throw-away server needs.
pub(crate) const EJABBERD: &[Package] = &[
    Package {
        program: "ejabberdctl",
        debian: "ejabberd",
        elsewhere: "ejabberd 23.01 or later (https://www.ejabberd.im)",
    },
    Package {
        program: "erl",
        debian: "erlang-base",
        elsewhere: "Erlang, which comes with ejabberd",
    },
    Package {
        program: "openssl",
        debian: "openssl",
        elsewhere: "the openssl command, 3.0 or later",
    },
];

/// A Python that can create environments. The only way to find out is to try it.
pub(crate) const PYTHON: &[&Package] = &[&Package {
    program: "python3",
    debian: "python3-venv",
    elsewhere: "Python 3.11 or later with its modules venv and ensurepip (https://www.python.org)",
}];

/// What the reference parser expat is built from.
const EXPAT: &[Package] = &[Package {
    // Not a program, but looked up in the same way.
    program: "/usr/include/expat.h",
    debian: "libexpat1-dev",
    elsewhere: "a C compiler, and expat 2.5 or later with its headers (https://libexpat.github.io)",
}];

/// Third-party TLS stacks, for the other end.
const STACKS: &[Package] = &[
    Package {
        program: "python3",
        debian: "python3",
        elsewhere: "Python 3.8 or later with its module ssl",
    },
    Package {
        // Not a program, but looked up in the same way.
        program: "/usr/include/gnutls/gnutls.h",
        debian: "libgnutls28-dev",
        elsewhere: "GnuTLS 3.7.2 or later with its headers (https://gnutls.org)",
    },
];

/// Makes sure that a program with expat can be built, wherever its headers are.
pub(crate) fn ensure_expat(sh: &Shell) -> Result<()> {
    const PROBE: &str = "#include <expat.h>\nint main(void) { return !XML_ParserCreate(0); }\n";
    if builds(sh, PROBE, "-lexpat") {
        return Ok(());
    }
    ensure(sh, EXPAT)
}

/// Makes sure that there is a Python, and that a program with GnuTLS can be built.
pub(crate) fn ensure_stacks(sh: &Shell) -> Result<()> {
    const PROBE: &str =
        "#include <gnutls/gnutls.h>\nint main(void) { return !gnutls_check_version(0); }\n";
    if find("python3").is_some() && builds(sh, PROBE, "-lgnutls") {
        return Ok(());
    }
    ensure(sh, STACKS)
}

/// Whether a C program can be built with that library.
fn builds(sh: &Shell, program: &str, library: &str) -> bool {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let build = cmd!(sh, "{compiler} -x c - -o /dev/null {library}");
    build.stdin(program).quiet().ignore_stderr().run().is_ok()
}

/// Makes sure that all of `packages` are installed.
pub(crate) fn ensure(sh: &Shell, packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|package| find(package.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    obtain(sh, &missing)?;
    match missing
        .iter()
        .find(|package| find(package.program).is_none())
    {
        None => Ok(()),
        Some(package) => bail!(
            "{} is still missing after apt-get installed {}",
            package.program,
            package.debian
        ),
    }
}

/// Installs what is missing, or says what to install.
pub(crate) fn obtain(sh: &Shell, missing: &[&Package]) -> Result<()> {
    let debian = Path::new("/etc/debian_version").exists() && find("apt-get").is_some();
    let means = match debian {
        false => Means::Elsewhere,
        true if cmd!(sh, "id -u").quiet().read()? == "0" => Means::DebianRoot,
        true => Means::Debian,
    };
    match request(means, missing) {
        Some(request) => bail!(request),
        None => install(sh, &debian_names(missing)),
    }
}

/// What we can do about a missing program.
#[derive(Clone, Copy)]
enum Means {
    DebianRoot,
    Debian,
    Elsewhere,
}

/// What you have to do yourself; nothing if we can do it.
fn request(means: Means, missing: &[&Package]) -> Option<String> {
    match means {
        Means::DebianRoot => None,
        Means::Debian => Some(format!(
            "please run: sudo apt-get install --no-install-recommends {}",
            debian_names(missing).join(" ")
        )),
        Means::Elsewhere => {
            let names: Vec<&str> = missing.iter().map(|package| package.elsewhere).collect();
            Some(format!("please install: {}", names.join("; ")))
        }
    }
}

fn debian_names(missing: &[&Package]) -> Vec<&'static str> {
    let mut names: Vec<&str> = missing.iter().map(|package| package.debian).collect();
    names.dedup();
    names
}

fn install(sh: &Shell, names: &[&str]) -> Result<()> {
    let policy = Policy::keep_services_down()?;
    cmd!(sh, "apt-get update -qq").run()?;
    cmd!(
        sh,
        "apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 {names...}"
    )
    .env("DEBIAN_FRONTEND", "noninteractive")
    .run()?;
    drop(policy);
    // We start our own server; the distribution's service stays disabled, also after a restart.
    for service in ["prosody", "ejabberd"] {
        if names.contains(&service) && Path::new("/run/systemd/system").exists() {
            cmd!(sh, "systemctl disable --now {service}").run()?;
        }
    }
    Ok(())
}

/// A policy that keeps services from starting while packages are installed; removed on drop, if it is ours.
struct Policy {
    ours: Option<PathBuf>,
}

impl Policy {
    fn keep_services_down() -> Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(&path)
        {
            Ok(mut file) => {
                let ours = Some(path);
                file.write_all(
                    b"#!/bin/sh\n# Left by an interrupted `cargo xtask`: remove it.\nexit 101\n",
                )?;
                Ok(Self { ours })
            }
            // The owner of this machine has a policy: it stays in force.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: None }),
            Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.ours
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("please remove {}: {error}", path.display());
        }
    }
}

/// The path of `program`. System folders count even if they are not on an ordinary user's path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program));
    places.find(|place| place.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_no_one_has_is_missing() {
        assert_eq!(find("xtls-program-that-nobody-has"), None);
    }

    #[test]
    fn a_program_that_everyone_has_is_found() {
        assert!(find("sh").is_some());
    }

    #[test]
    fn what_cannot_be_installed_is_asked_for_by_name() {
        let missing: Vec<&Package> = SERVER.iter().collect();
        let debian = request(Means::Debian, &missing).unwrap();
        assert_eq!(
            debian,
            "please run: sudo apt-get install --no-install-recommends prosody tmux openssl"
        );
        let elsewhere = request(Means::Elsewhere, &missing).unwrap();
        assert!(
            elsewhere.contains("Prosody 0.12") && elsewhere.contains("openssl"),
            "{elsewhere}"
        );
        assert_eq!(request(Means::DebianRoot, &missing), None);
    }
}
