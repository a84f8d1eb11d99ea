//! The `xtls` program.

mod account;
mod accounts;
mod answer;
mod args;
mod ask;
mod attended;
mod bytes;
mod chat;
mod command;
mod complete;
mod demo;
mod doctor;
mod dumps;
mod events;
mod failure;
mod forward;
mod input;
mod link;
mod login;
mod manual;
mod mend;
mod output;
mod paths;
mod peer;
mod pipe;
mod progress;
mod qr;
mod receive;
mod record;
mod records;
mod say;
mod secret;
mod send;
mod settings;
mod stanzas;
mod stop;
mod suggest;
mod terminal;
mod throttle;
mod trace;
mod trust;
mod undelivered;
mod usage;
mod verify;
mod words;

use std::process::ExitCode;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use args::{Accounts, Cli, Output, Verb};
use failure::Failure;
use say::Say;
use settings::Settings;
use stop::Stop;

fn main() -> ExitCode {
    complete::answer_shell();
    let (cli, settings) = match usage::parse() {
        Ok(parsed) => parsed,
        Err(failure) => return ExitCode::from(failure.code as u8),
    };
    log(&cli.output);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        terminal::modes::restore_for_good();
        before(panic);
    }));
    let say = Say::new(&cli.output);
    dumps::off(say);
    let result = run(&cli, &settings, say);
    // Anything printed from here on goes to a restored terminal.
    terminal::leave();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.reported {
                say.failure(&failure);
            }
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(cli: &Cli, settings: &Settings, say: Say) -> Result<(), Failure> {
    match &cli.verb {
        Verb::Id(args) => trust::id(args, say),
        Verb::Account(Accounts::Add(args)) => {
            block_on(say, |stop| accounts::add(args, settings, say, stop))
        }
        Verb::Account(verb) => accounts::run(verb, settings, say),
        Verb::Completions(args) => complete::script(args),
        Verb::Man(args) => manual::run(args),
        Verb::Trust(verb) => trust::trust(verb, say),
        Verb::Doctor(args) => block_on(say, |stop| doctor::run(args, say, stop)),
        Verb::Trace(args) => trace::run(args, say),
        Verb::Demo(args) => block_on(say, |_| demo::run(args, say)),
        Verb::Forward(args) => block_on(say, |stop| forward::run(args, say, stop)),
        Verb::Pipe(args) => block_on(say, |stop| pipe::run(args, say, stop)),
        Verb::Send(args) => block_on(say, |stop| send::run(args, say, stop)),
        Verb::Receive(args) => block_on(say, |stop| receive::run(args, say, stop)),
        Verb::Stanzas(args) => block_on(say, |stop| stanzas::run(args, say, stop)),
        Verb::Verify(args) => block_on(say, |stop| verify::run(args, say, stop)),
        Verb::Chat(args) => block_on(say, |stop| chat::run(args, say, stop)),
    }
}

fn block_on<F: Future<Output = Result<(), Failure>>>(
    say: Say,
    begin: impl FnOnce(Stop) -> F,
) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("cannot start the async runtime: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let result = runtime.block_on(async { begin(Stop::listen(say).map_err(failed)?).await });
    terminal::leave();
    // A thread blocked on standard input cannot be stopped; the process can.
    runtime.shutdown_background();
    result
}

/// Enables our own crates only: at `trace`, dependencies log whole stanzas.
fn log(output: &Output) {
    let level = match output.verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = fmt::layer().with_writer(std::io::stderr).without_time();
    tracing_subscriber::registry()
        .with(ours(level))
        .with(lines)
        .init();
}

/// The names of our crates all begin with this.
fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target("xtls", level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn nothing_but_our_own_crates_is_logged() {
        let ours = ours(LevelFilter::TRACE);
        for target in ["rustls::conn", "tokio", "hickory_net", "reedline", "x"] {
            assert!(!ours.would_enable(target, &Level::ERROR), "{target}");
        }
        for target in ["xtls", "xtls::login", "xtls_client::driver", "xtls_ibb"] {
            assert!(ours.would_enable(target, &Level::TRACE), "{target}");
        }
    }
}
