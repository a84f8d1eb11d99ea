//! The `xtls` program.

mod account;
mod args;
mod ask;
mod demo;
mod dumps;
mod face;
mod failure;
mod link;
mod mend;
mod peer;
mod qr;
mod record;
mod say;
mod secret;
mod suggest;
mod talk;
mod trust;
mod usage;
mod verify;
mod words;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use args::{Cli, Output, Verb};
use face::Face;
use failure::Failure;
use say::Say;

fn main() -> ExitCode {
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(failure) => return ExitCode::from(failure.code as u8),
    };
    log(&cli.output);
    let say = Say::new(&cli.output);
    dumps::off(say);
    match run(&cli, say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say.failure(&failure);
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(cli: &Cli, say: Say) -> Result<(), Failure> {
    match &cli.verb {
        Verb::Id(args) => trust::id(args, say),
        Verb::Trust(verb) => trust::trust(verb, say),
        Verb::Demo(args) => block_on(demo::run(args, say)),
        Verb::Stanzas(args) => block_on(talk::run(args, Face::Stanzas, say)),
        Verb::Verify(args) => block_on(verify::run(args, say)),
        Verb::Chat(args) => block_on(talk::run(args, Face::chat(), say)),
    }
}

fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    let result = runtime.block_on(future);
    // A thread that waits for standard input cannot be ended; the process can.
    runtime.shutdown_background();
    result
}

/// Our own crates only: what others log at `trace` holds whole stanzas.
fn log(output: &Output) {
    let level = match output.verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter =
        format!("off,xtls={level},xtls_client={level},xtls_ibb={level},xtls_session={level}");
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(filter))
        .without_time()
        .init();
}
