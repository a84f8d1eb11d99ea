//! A certification authority for tests, and one server certificate that it signed, made with the openssl command.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Writes `ca.pem`, `server.pem` and `server.key` into `folder`; the authority's own key is discarded.
pub(crate) fn issue(folder: &Path, domain: &str) -> Result<()> {
    let config = include_str!("../prosody/certificate.cnf").replace("@DOMAIN@", domain);
    fs::write(folder.join("certificate.cnf"), config)?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout";
    let steps = [
        format!(
            "req -config certificate.cnf -x509 -extensions ca -days 2 {key} ca.key -out ca.pem"
        ),
        format!("req -config certificate.cnf -subj /CN={domain} {key} server.key -out server.csr"),
        "x509 -req -extfile certificate.cnf -extensions server -days 2 -in server.csr \
         -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem"
            .to_owned(),
    ];
    for step in steps {
        openssl(folder, &step)?;
    }
    Ok(fs::remove_file(folder.join("ca.key"))?)
}

/// Runs `openssl` with `args`, split at white space, in `folder`; returns its output.
pub(crate) fn openssl(folder: &Path, args: &str) -> Result<String> {
    let output = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(folder)
        .output();
    let output = output.context("cannot run openssl")?;
    if !output.status.success() {
        bail!(
            "openssl {args}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
