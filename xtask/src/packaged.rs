//! Debian's own servers: the configuration, the limits and the modules of their packages, with other ports and paths, and the
//! certificates that their packages make.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::server::{DOMAIN, Ports};

const PROSODY: &str = "/etc/prosody/prosody.cfg.lua";
const PROSODY_MORE: &str = "/etc/prosody/conf.d/*.cfg.lua";
const EJABBERD: &str = "/etc/ejabberd/ejabberd.yml";
/// Made when the package was installed.
const EJABBERD_CERTIFICATE: &str = "/etc/ejabberd/ejabberd.pem";

/// Whether there are such packages here, and we may read what they have installed.
pub(crate) fn are_there() -> bool {
    let mut files = [PROSODY, EJABBERD, EJABBERD_CERTIFICATE].into_iter();
    files.all(|file| fs::read(file).is_ok())
}

/// Writes Prosody's configuration, and has Prosody's own tool make a certificate, which is the authority as well.
pub(crate) fn prosody(folder: &Path, ports: Ports, tool: &Path) -> Result<()> {
    let shipped = fs::read_to_string(PROSODY).context(PROSODY)?;
    let own = folder.to_str().context("the folder's name is not UTF-8")?;
    let s2s = Ports::choose()?;
    let head = format!(
        "run_as_root = true\ndata_path = [[{own}/data]]\ninterfaces = {{ \"127.0.0.1\" }}\n\
         c2s_ports = {{ {} }}\ns2s_ports = {{ {} }}\n\n",
        ports.starttls, s2s.starttls
    );
    let mut config = head + &shipped;
    for (from, to) in [
        (
            "\"/run/prosody/prosody.pid\"",
            format!("[[{own}/prosody.pid]]"),
        ),
        (
            "\"/var/log/prosody/prosody.log\"",
            format!("[[{own}/prosody.log]]"),
        ),
        (
            "\"/var/log/prosody/prosody.err\"",
            format!("[[{own}/prosody.err]]"),
        ),
        (
            "certificates = \"certs\"",
            format!("certificates = [[{own}/certs]]"),
        ),
        ("\"conf.d/*.cfg.lua\"", format!("\"{PROSODY_MORE}\"")),
    ] {
        config = replaced(PROSODY, &config, from, &to)?;
    }
    let file = folder.join("prosody.cfg.lua");
    fs::write(&file, config)?;
    fs::create_dir(folder.join("certs"))?;
    // It asks what to write into the certificate; an end of the input means what it proposes.
    let made = Command::new(tool)
        .arg("--config")
        .arg(&file)
        .args(["cert", "generate", DOMAIN])
        .stdin(Stdio::null())
        .output()?;
    let certificate = folder.join("certs").join(format!("{DOMAIN}.crt"));
    if !certificate.exists() {
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        bail!("prosodyctl makes no certificate:\n{said}");
    }
    fs::copy(certificate, folder.join("ca.pem"))?;
    Ok(())
}

/// Writes ejabberd's configuration. Its certificate stays where the package has put it.
pub(crate) fn ejabberd(folder: &Path, ports: Ports) -> Result<()> {
    let mut config = fs::read_to_string(EJABBERD).context(EJABBERD)?;
    let (more, most) = (Ports::choose()?, Ports::choose()?);
    for (from, to) in [
        (5222, ports.starttls),
        (5223, ports.tls),
        (5269, more.starttls),
        (5443, more.tls),
        (5280, more.component),
        (3478, most.starttls),
        (1883, most.tls),
    ] {
        let port = |port: u16| format!("    port: {port}\n");
        config = replaced(EJABBERD, &config, &port(from), &port(to))?;
    }
    let config = replaced(EJABBERD, &config, "ip: \"::\"", "ip: \"127.0.0.1\"")?;
    fs::write(folder.join("ejabberd.yml"), config)?;
    // Whoever trusts it needs nothing of its key.
    let pem = fs::read_to_string(EJABBERD_CERTIFICATE).context(EJABBERD_CERTIFICATE)?;
    let certificate = certificate(&pem).context("there is no certificate in ejabberd.pem")?;
    Ok(fs::write(folder.join("ca.pem"), certificate)?)
}

/// A configuration that does not say what it is expected to say may start a server that others reach.
fn replaced(file: &str, config: &str, from: &str, to: &str) -> Result<String> {
    if !config.contains(from) {
        bail!("{file} does not say {from:?}: it is not as Debian ships it");
    }
    Ok(config.replace(from, to))
}

/// The first certificate in a file.
fn certificate(pem: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let start = pem.find("-----BEGIN CERTIFICATE-----")?;
    let rest = pem.get(start..)?;
    rest.get(..rest.find(END)? + END.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_not_as_shipped_is_refused() {
        assert!(replaced("file", "port: 5222", "port: 5223", "port: 1").is_err());
        assert_eq!(
            replaced("file", "port: 5222", "5222", "1").unwrap(),
            "port: 1"
        );
    }

    #[test]
    fn of_a_file_with_a_key_only_the_certificate_is_taken() {
        let certificate_alone = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n{certificate_alone}"
        );
        assert_eq!(certificate(&pem), Some(certificate_alone));
        assert_eq!(certificate("-----BEGIN PRIVATE KEY-----\n"), None);
    }
}
