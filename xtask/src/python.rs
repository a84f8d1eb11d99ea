//! Third-party XMPP libraries for the interoperability tests, and magic-wormhole for a benchmark, each in a Python environment of our
//! own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::packages;
use crate::workspace::Workspace;

/// The variable that tells tests and benchmarks which Python has the libraries.
pub(crate) const VARIABLE: &str = "XTLS_INTEROP_PYTHON";

/// Prints the version; fails if an environment cannot be created, as with Debian's bare python3.
const PROBE: &str =
    "import ensurepip, sys, venv; assert sys.version_info >= (3, 11); print(sys.version)";

/// The Python with the pinned libraries.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let pins = "tests/interop/requirements.txt";
    environment(workspace, "interop", pins, "import slixmpp, aioxmpp.ibb")
}

/// The Python with magic-wormhole and its servers, whose programs stand beside it.
pub(crate) fn wormhole(workspace: &Workspace) -> Result<PathBuf> {
    environment(
        workspace,
        "wormhole",
        "benches/wormhole.txt",
        "import wormhole",
    )
}

/// Created on the first call, and again when the pins or the Python have changed. `proof` works in it.
fn environment(workspace: &Workspace, name: &str, pins: &str, proof: &str) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let version = version(sh)?;
    let pins = workspace.root.join(pins);
    let wanted = format!("{version}\n{}", fs::read_to_string(&pins)?);
    let home = workspace.target.join(name);
    let python = home.join("bin").join("python");
    // Written last: an interrupted installation starts again.
    let stamp = home.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    cmd!(sh, "python3 -m venv {home}").run()?;
    install(sh, &python, &pins, proof).with_context(|| {
        format!(
            "cannot install what {} lists: pip needs a package index that it can reach",
            pins.display()
        )
    })?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

fn install(sh: &Shell, python: &Path, pins: &Path, proof: &str) -> Result<()> {
    let pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"];
    // Everything is pinned, including the dependencies of the libraries.
    cmd!(
        sh,
        "{python} {pip...} install --no-deps --requirement {pins}"
    )
    .run()?;
    Ok(cmd!(sh, "{python} -c {proof}").run()?)
}

/// The version of a Python that can create environments. Debian packages that separately; elsewhere it is part of
/// Python.
fn version(sh: &Shell) -> Result<String> {
    let probe = || {
        cmd!(sh, "python3 -c {PROBE}")
            .quiet()
            .ignore_stderr()
            .read()
    };
    if let Ok(version) = probe() {
        return Ok(version);
    }
    packages::obtain(sh, packages::PYTHON)?;
    match probe() {
        Ok(version) => Ok(version),
        Err(_) => {
            bail!(
                "python3 cannot make environments, or is older than 3.11 (the libraries need that)"
            )
        }
    }
}
