//! Why a login has failed, and what to do next.

use xtls_client::xmpp::{CertificateFault, ConnectError};

use crate::failure::{Code, Failure, chain};

/// A login that has failed.
pub(crate) fn failure(error: &ConnectError) -> Failure {
    // A file that is not one of certificates is not the server's fault.
    let code = if matches!(
        error,
        ConnectError::Roots(_) | ConnectError::OwnCertificate(_)
    ) {
        Code::Usage
    } else {
        Code::Server
    };
    Failure::new(code, chain(error)).maybe_hint(hint(error))
}

fn hint(error: &ConnectError) -> Option<String> {
    use ConnectError as Error;
    let hint = match error {
        Error::Certificate { why, .. } => {
            return why.get_ref().downcast_ref().and_then(of_certificate);
        }
        Error::Authentication {
            account, condition, ..
        } => {
            return Some(of_refusal(account, condition));
        }
        Error::NoMechanism { offered, .. } if offered.split(", ").any(|name| name == "PLAIN") => {
            "--allow-plain lets PLAIN show the server the password"
        }
        Error::NoMechanism { .. } => {
            "ask whoever runs the server to offer SCRAM-SHA-256 or SCRAM-SHA-1"
        }
        Error::Conflict { .. } => "choose another resource with --resource",
        Error::Roots(_) => {
            "give the certificate of your server, or of its authority, with --ca-file"
        }
        Error::LookUp { .. } => {
            "is the domain right, and are you online? --server HOST:PORT needs no DNS records"
        }
        Error::NoService { .. } => "is the domain right? --server HOST:PORT connects elsewhere",
        Error::Unreachable { .. } => {
            "is the address right, and does the server take clients there (often port 5222, or 5223 with --direct-tls)? \
             --server HOST:PORT connects elsewhere"
        }
        Error::NoStartTls { .. } => {
            "--direct-tls with --server HOST:PORT uses TLS from the first byte, if the server has a port for that"
        }
        Error::Tls { .. } => {
            "is it the right port? One for STARTTLS (often 5222) needs no --direct-tls, and one for TLS from the first byte \
             (often 5223) needs it"
        }
        Error::Timeout { .. } => {
            "is it an XMPP server, on a port for clients, with no firewall in between? --server HOST:PORT connects elsewhere; \
             --direct-tls is for ports with TLS from the first byte"
        }
        Error::Header { .. } | Error::Protocol { .. } => {
            "is it an XMPP server, on a port for clients? --server HOST:PORT connects elsewhere"
        }
        Error::Broken { .. } => {
            "try again later. If it stays so: is it a port for clients? One with TLS from the first byte (often 5223) needs \
             --direct-tls"
        }
        Error::Stream(error) if error.condition == "host-unknown" => {
            "the server does not know this domain: is the account's address right, and --server, if you gave it?"
        }
        Error::Weaker { .. }
        | Error::Tampered { .. }
        | Error::Injected { .. }
        | Error::Impostor { .. } => {
            "nothing that would let somebody log in as you was sent; ask whoever runs the server, over another channel"
        }
        Error::Tasks { .. } => {
            "log in with another client and turn off what it asks for, or use an account of your own for xtls"
        }
        Error::Bind { .. } => "try again, or with another --resource",
        Error::Address(_) | Error::NoLocalPart { .. } => "an account is name@domain",
        Error::Busy | Error::Stream(_) | Error::Acknowledgement(_) => "try again later",
        Error::Unencrypted { .. } | _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about an account or password that the server does not accept.
fn of_refusal(account: &str, condition: &str) -> String {
    match condition {
        // Servers do not say which of them is wrong, so that nobody can find out who has an account.
        "not-authorized" | "invalid-authzid" => format!(
            "check the address {account} and its password: a server does not say which of them is wrong"
        ),
        "temporary-auth-failure" => "try again later".to_owned(),
        _ => format!("ask whoever runs the server about the account {account}"),
    }
}

/// What to do about a certificate that is not accepted.
fn of_certificate(fault: &CertificateFault) -> Option<String> {
    use CertificateFault as Fault;
    match fault {
        Fault::SelfSigned { key }
        | Fault::UnknownIssuer { key, .. }
        | Fault::Namesake { key, .. } => Some(format!(
            "if the server is yours, give the certificate with --ca-file; or compare the fingerprint with whoever runs it, and \
             add --pin-server {key}"
        )),
        Fault::Expired { .. } => Some("whoever runs the server has to renew it".to_owned()),
        Fault::NotYetValid { .. } => Some("is the clock of this machine right?".to_owned()),
        Fault::OtherName { .. } | Fault::NoNames => Some(
            "is the domain of the account right? Then whoever runs the server has to mend it"
                .to_owned(),
        ),
        Fault::OtherKey { presented, .. } => Some(format!(
            "somebody may stand in between. If the server has a new key, compare it with whoever runs it: --pin-server \
             {presented}"
        )),
        Fault::Other(_) | _ => Some("ask whoever runs the server".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xtls_client::xmpp::Cause;

    use super::*;

    #[test]
    fn every_login_that_fails_has_a_next_step() {
        let (domain, server) = ("capulet.example".to_owned(), "127.0.0.1:5222".to_owned());
        let account = "juliet@capulet.example".to_owned();
        let why = || Cause::from("something");
        let refused = |condition: &str| ConnectError::Authentication {
            account: account.clone(),
            condition: condition.to_owned(),
            text: String::new(),
        };
        for (error, code, step) in [
            (
                refused("not-authorized"),
                Code::Server,
                "check the address juliet@capulet.example and its password",
            ),
            (
                refused("account-disabled"),
                Code::Server,
                "ask whoever runs the server",
            ),
            (
                refused("temporary-auth-failure"),
                Code::Server,
                "try again later",
            ),
            (ConnectError::Roots(why()), Code::Usage, "--ca-file"),
            (
                ConnectError::LookUp {
                    domain: domain.clone(),
                    why: why(),
                },
                Code::Server,
                "--server HOST:PORT needs no DNS",
            ),
            (
                ConnectError::NoService {
                    domain: domain.clone(),
                },
                Code::Server,
                "--server HOST:PORT",
            ),
            (
                ConnectError::Unreachable { server, why: why() },
                Code::Server,
                "--server HOST:PORT",
            ),
            (
                ConnectError::Timeout {
                    limit: Duration::from_secs(30),
                },
                Code::Server,
                "--server HOST:PORT",
            ),
            (
                ConnectError::Tls {
                    domain: domain.clone(),
                    why: why(),
                },
                Code::Server,
                "needs no --direct-tls",
            ),
            (
                ConnectError::NoStartTls {
                    domain: domain.clone(),
                },
                Code::Server,
                "--direct-tls",
            ),
            (
                ConnectError::Broken {
                    during: "at the login",
                    why: why(),
                },
                Code::Server,
                "--direct-tls",
            ),
            (
                ConnectError::Protocol {
                    during: "at the login",
                    why: "a".to_owned(),
                },
                Code::Server,
                "an XMPP server",
            ),
            (
                ConnectError::Bind {
                    why: "a".to_owned(),
                },
                Code::Server,
                "--resource",
            ),
            (
                ConnectError::Conflict {
                    address: account.clone(),
                },
                Code::Server,
                "--resource",
            ),
            (
                ConnectError::NoMechanism {
                    domain: domain.clone(),
                    offered: "PLAIN".to_owned(),
                },
                Code::Server,
                "--allow-plain",
            ),
            (
                ConnectError::NoMechanism {
                    domain: domain.clone(),
                    offered: "X".to_owned(),
                },
                Code::Server,
                "SCRAM",
            ),
            (
                ConnectError::Tasks {
                    domain: domain.clone(),
                    tasks: "TOTP".to_owned(),
                },
                Code::Server,
                "another client",
            ),
            (
                ConnectError::Tampered { domain },
                Code::Server,
                "over another channel",
            ),
            (ConnectError::Busy, Code::Server, "try again later"),
        ] {
            let failure = failure(&error);
            assert_eq!(failure.code, code, "{error}");
            let hint = failure.hint.unwrap_or_else(|| panic!("{error}"));
            assert!(hint.contains(step), "{error}: {hint}");
        }
    }
}
