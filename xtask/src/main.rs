//! Chores of the workspace: anyone can run what CI runs.

mod arrows;
mod backports;
mod bench;
mod certificate;
mod check;
mod deny;
mod ejabberd;
mod fuzz;
mod outages;
mod packaged;
mod packages;
mod places;
mod planted;
mod properties;
mod prosody;
mod python;
mod record;
mod running;
mod server;
mod sim;
mod steps;
mod switch;
mod test;
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::server::Kind;
use crate::steps::Steps;
use crate::workspace::Workspace;

const USAGE: &str = "\
cargo xtask test [--quick] [FILTER]          everything a change must pass; --quick leaves out the real server and cargo-deny;
                                             FILTER: only tests whose names contain it
cargo xtask check                            fmt, clippy, doc, licences and bans, tidy
cargo xtask bench [--check | FILTER]         framer and stanza against rxml, quick-xml, expat and bare base64; --check: only the
                                             ratios, which must reach their bars
cargo xtask bench tls [--check]              the TLS adapter compared with rustls alone: throughput, handshakes, heap
cargo xtask bench session [--check]          the whole stack in memory against tokio-rustls; memory of idle sessions; first use by 10 000 peers
cargo xtask bench link [--check]             the link to a server beside a client written by hand
cargo xtask bench citizens [--check]         many bulk streams at once through real servers: whether each gets its share, and no link is ended
cargo xtask bench verbs [--check]            pipes, files and forwards through real servers, beside the bare tunnel
cargo xtask bench paths [--check]            tunnels through real relays and straight, beside bare sockets and tokio-rustls
cargo xtask bench files [--check]            size, start and memory of the program, and a file by it beside magic-wormhole and nc
cargo xtask bench build [--check]            the CPU of a clean build of the program, beside the commit before the link of its own
cargo xtask bench ibb [--check]              bytestreams through a real server, against bare iqs and slixmpp
cargo xtask tidy                             layer arrows and house rules
cargo xtask fuzz TARGET [SECONDS] [--runs N] fuzz framer, stanza, differential, base64, ibb, link, parties, path, signal or s5b for a minute; docs/FUZZING.md has the rest
cargo xtask properties [SEED] [--rounds N] [--only PART]
                                             every property test, or those with PART in their names, with cases from another seed, ten
                                             times as many as usual
cargo xtask sim [--seed N [--trace]]         the simulated hostile world: ten million steps, or one seed line by line;
                [--seeds N [--all]]          this many seeds, up to the first that breaks a rule, or all;
                [--planted [BUG | world | link]]
                                             bugs planted in the code, which it or the link's models must find;
                [--model]                    every interleaving of a small model
cargo xtask outages [cuts|kills|moves|tunnels]
                                             connections that are cut and servers that die, at full length
cargo xtask record [NAME…]                   the recordings in docs/recordings, from the real program on a real server: demo, chat, send
cargo xtask prosody [--limits | --sasl2 | --packaged] [--then CMD…]
                                             a throw-away XMPP server on loopback with two accounts; --limits: as Debian ships it,
                                             10 kB/s; --sasl2: with SASL2 and Bind 2; --packaged: with its package's
                                             configuration; --then: run CMD with the server, then stop it
cargo xtask ejabberd [--packaged] [--then CMD…]
                                             the same on ejabberd, without limits, or with its package's configuration";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.is_empty() {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    }
    let command = args.remove(0);
    match command.to_str() {
        Some("test") => {
            let options = test::Options::parse(&args)?;
            Steps::report(|steps| test::run(&Workspace::open()?, steps, &options))?;
        }
        Some("check") => {
            none_left(&args)?;
            Steps::report(|steps| check::run(&Workspace::open()?, steps, check::Deny::Run))?;
        }
        Some("tidy") => {
            none_left(&args)?;
            tidy::run(&Workspace::open()?)?;
        }
        Some("bench") => {
            bench::run(&Workspace::open()?, &bench::Options::parse(&args)?)?;
        }
        Some("fuzz") => {
            fuzz::run(&Workspace::open()?, &fuzz::Options::parse(&args)?)?;
        }
        Some("sim") => {
            sim::run(&Workspace::open()?, &sim::Options::parse(&args)?)?;
        }
        Some("outages") => {
            outages::run(&Workspace::open()?, &outages::parse(&args)?)?;
        }
        Some("record") => {
            record::run(&Workspace::open()?, &record::parse(&args)?)?;
        }
        Some("properties") => {
            properties::run(&Workspace::open()?, &properties::Options::parse(&args)?)?;
        }
        Some("prosody") => {
            let (kind, then) = prosody_args(args)?;
            return server::run(&Workspace::open()?, kind, &then);
        }
        Some("ejabberd") => {
            let (kind, then) = ejabberd_args(args)?;
            return server::run(&Workspace::open()?, kind, &then);
        }
        Some("help" | "--help" | "-h") => eprintln!("{USAGE}"),
        Some(_) | None => bail!("no chore named {}\n{USAGE}", command.display()),
    }
    Ok(ExitCode::SUCCESS)
}

fn none_left(args: &[OsString]) -> Result<()> {
    match args.first() {
        None => Ok(()),
        Some(arg) => bail!("unexpected argument {}\n{USAGE}", arg.display()),
    }
}

fn prosody_args(mut args: Vec<OsString>) -> Result<(Kind, Vec<OsString>)> {
    let then = split_then(&mut args)?;
    match args.as_slice() {
        [] => Ok((Kind::Free, then)),
        [flag] if flag == "--limits" => Ok((Kind::Stock, then)),
        [flag] if flag == "--sasl2" => Ok((Kind::Sasl2, then)),
        [flag] if flag == "--packaged" => Ok((Kind::PackagedProsody, then)),
        _ => bail!("cargo xtask prosody takes --limits or --sasl2, and --then CMD…\n{USAGE}"),
    }
}

fn ejabberd_args(mut args: Vec<OsString>) -> Result<(Kind, Vec<OsString>)> {
    let then = split_then(&mut args)?;
    match args.as_slice() {
        [] => Ok((Kind::Ejabberd, then)),
        [flag] if flag == "--packaged" => Ok((Kind::PackagedEjabberd, then)),
        _ => bail!("cargo xtask ejabberd takes --packaged and --then CMD…\n{USAGE}"),
    }
}

/// The command after `--then`, removed from the end.
fn split_then(args: &mut Vec<OsString>) -> Result<Vec<OsString>> {
    let then = match args.iter().position(|arg| arg == "--then") {
        None => Vec::new(),
        Some(at) => {
            let then = args.split_off(at + 1);
            args.pop();
            if then.is_empty() {
                bail!("--then needs a command\n{USAGE}");
            }
            then
        }
    };
    Ok(then)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_then_without_a_command_is_refused() {
        assert!(prosody_args(args(&["--limits", "--then"])).is_err());
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        assert!(prosody_args(args(&["--limit"])).is_err());
    }

    #[test]
    fn flags_after_then_belong_to_the_command() {
        let (kind, then) = prosody_args(args(&["--then", "true", "--limits"])).unwrap();
        assert_eq!(kind, Kind::Free);
        assert_eq!(then, args(&["true", "--limits"]));
    }
}
