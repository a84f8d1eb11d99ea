//! Prosody 13 with the community's modules for SASL2: the installed one, or that of Debian's backports, unpacked under the target
//! folder. Nothing that is installed changes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::packages::{self, Package};
use crate::workspace::Workspace;

/// The modules for the installed Prosody.
const MODULES: &[Package] = &[Package::new(
    "/usr/lib/prosody/modules/mod_sasl2_sm/mod_sasl2_sm.lua",
    "prosody-modules",
    "Prosody's modules sasl2, sasl2_bind2 and sasl2_sm in /usr/lib/prosody/modules (https://modules.prosody.im)",
)];

/// Where Prosody and its version are.
const HOME: &str = "/usr/lib/prosody";

/// The version that the modules need: before it, mod_smacks can't do its work for others.
const LEAST: u32 = 13;

/// The folder of the programs `prosody` and `prosodyctl`. Installs or unpacks what is missing.
pub(crate) fn prosody(workspace: &Workspace) -> Result<PathBuf> {
    let sh = &workspace.sh;
    packages::ensure(sh, packages::SERVER)?;
    let version = fs::read_to_string(Path::new(HOME).join("prosody.version"));
    if version.is_ok_and(|version| is_new_enough(&version)) {
        packages::ensure(sh, MODULES)?;
        let program = packages::find("prosody").context("prosody is not installed")?;
        let folder = program.parent();
        return Ok(folder.map(Path::to_owned).unwrap_or_default());
    }
    let folder = workspace.target.join("tools").join("prosody");
    let programs = folder.join("bin");
    // Made last.
    if !programs.is_dir() {
        unpack(sh, &folder)?;
    }
    Ok(programs)
}

fn is_new_enough(version: &str) -> bool {
    let major = version.trim().split('.').next().unwrap_or_default();
    major.parse().is_ok_and(|major: u32| major >= LEAST)
}

/// Fetches the packages by a configuration of their own, and makes their programs find what belongs to them.
fn unpack(sh: &Shell, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let folder_name = folder
        .to_str()
        .context("the target folder's name is not UTF-8")?;
    fs::write(folder.join("sources.list"), source(sh)?)?;
    let options: Vec<String> = [
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::Etc::SourceList={folder_name}/sources.list"),
        format!("Dir::State::Lists={folder_name}/lists"),
        format!("Dir::Cache={folder_name}/cache"),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect();
    let options = options.as_slice();
    cmd!(sh, "apt-get -qq {options...} update").run()?;
    {
        let _there = sh.push_dir(folder);
        cmd!(
            sh,
            "apt-get -qq {options...} download prosody prosody-modules"
        )
        .ignore_stderr()
        .run()?;
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            cmd!(sh, "dpkg-deb -x {path} {folder}").quiet().run()?;
        }
    }
    let programs = folder.join("usr/bin");
    for name in ["prosody", "prosodyctl"] {
        let program = programs.join(name);
        let text = fs::read_to_string(&program)?;
        let text = text.replace(&format!("'{HOME}"), &format!("'{folder_name}{HOME}"));
        fs::write(program, text)?;
    }
    Ok(fs::rename(programs, folder.join("bin"))?)
}

/// The backports of this Debian, from where its packages come from.
fn source(sh: &Shell) -> Result<String> {
    let Ok(targets) = cmd!(
        sh,
        "apt-get indextargets --format $(LABEL)|$(CODENAME)|$(REPO_URI)"
    )
    .quiet()
    .ignore_stderr()
    .read() else {
        bail!("please install: Prosody {LEAST} or later (https://prosody.im)");
    };
    let release = fs::read_to_string("/etc/os-release")?;
    let source = backports(&targets, &release);
    source.with_context(|| {
        format!("this system has a Prosody before {LEAST}, and no package source that is known to have backports")
    })
}

fn backports(targets: &str, release: &str) -> Option<String> {
    let mut lines = release.lines();
    let codename = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let mut targets = targets.lines().map(|line| line.split('|'));
    let uri = targets.find_map(|mut parts| {
        let ours = parts.next() == Some("Debian") && parts.next() == Some(codename);
        parts.next().filter(|_| ours)
    })?;
    Some(format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {uri} {codename}-backports main\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_prosody_is_not_new_enough() {
        for version in ["0.12.3\n", "12.9", "", "trunk"] {
            assert!(!is_new_enough(version), "{version}");
        }
        for version in ["13.0.1\n", "14"] {
            assert!(is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn backports_come_from_where_the_packages_do() {
        let targets = "Debian-Security|one-security|http://a.example/\nDebian|one|http://b.example/debian/\n\
            Debian|two|http://c.example/";
        let of = |release| backports(targets, release);
        assert_eq!(of("ID=debian\n"), None);
        assert_eq!(of("VERSION_CODENAME=three\n"), None);
        let source = of("ID=debian\nVERSION_CODENAME=one\n").unwrap();
        assert!(
            source.ends_with(" http://b.example/debian/ one-backports main\n"),
            "{source}"
        );
    }
}
