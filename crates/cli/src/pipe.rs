//! `xtls pipe`: standard input → the peer's standard output, and back.

use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWrite;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;
use xtls_pipe::{Exit, Fault, Options, Outcome, PipeError, SERVICE, Side};

use crate::args::Pipe as Args;
use crate::bytes::{Ends, Secure};
use crate::failure::{Code, Failure};
use crate::say::Say;
use crate::stop::Stop;

/// Runs until both directions have ended; with a command, until the program is asked to end.
pub(crate) async fn run(args: &Args, say: Say, stop: Stop) -> Result<(), Failure> {
    let mut ends = Ends::connect(&args.talk, SERVICE, false, say, &stop).await?;
    ends.suggest = ends.suggest.with_listener("xtls pipe --listen");
    let outcome = if args.command.is_empty() {
        once(args, &mut ends, &stop).await
    } else {
        serve(args, &mut ends, &stop).await
    };
    ends.leave(stop.or_interrupted(outcome)).await
}

/// One tunnel, for standard input and output.
async fn once(args: &Args, ends: &mut Ends, stop: &Stop) -> Result<(), Failure> {
    let secure = tokio::select! {
        secure = async {
            match &args.talk.peer {
                Some(peer) => ends.call(peer).await,
                None => ends.next_caller().await,
            }
        } => secure?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    // Standard input can be given to one peer only.
    ends.pause(true);
    let options = Options {
        sends: !args.recv_only,
        takes: !args.send_only,
        waits: !args.no_wait,
        ..Options::default()
    };
    let (sender, say, suggest) = (secure.sender(), secure.say, secure.suggest().clone());
    let peer = secure.peer.clone();
    // In a task, and so on the threads of what it talks to: to wake this one, which waits, takes the system.
    let mut piping = JoinSet::new();
    piping.spawn(xtls_pipe::run(
        secure.tunnel,
        tokio::io::stdin(),
        tokio::io::stdout(),
        options,
    ));
    tokio::select! {
        Some(piped) = piping.join_next() => {
            let piped = piped.map_err(|error| Failure::failed(error.to_string()))?;
            let why = match &piped {
                // The peer may take its time to end what is over for us.
                Ok(_) => None,
                Err(_) => Secure::why(&sender, say, &suggest).await,
            };
            told(peer.as_str(), piped, why, say)
        }
        () = stop.asked() => {
            sender.abort().await;
            Err(Failure::interrupted())
        }
        lost = ends.lost() => Err(lost),
    }
}

/// A tunnel for each run of the listener's own command.
async fn serve(args: &Args, ends: &mut Ends, stop: &Stop) -> Result<(), Failure> {
    let attend = |secure| attach(args.command.clone(), secure, stop.clone());
    ends.serve(args.talk.calls.once, stop, attend).await
}

/// Runs the command for one peer, who can neither choose nor change it. If the tunnel is cut, the command is asked to end before its
/// input does, which it would take for the end of what the peer has sent.
async fn attach(command: Vec<String>, secure: Secure, stop: Stop) -> Result<(), Failure> {
    let (sender, say, suggest) = (secure.sender(), secure.say, secure.suggest().clone());
    let peer = secure.peer.clone();
    let mut started = match start(&command, &secure) {
        Ok(child) => child,
        Err(failure) => {
            sender.abort().await;
            return Err(failure);
        }
    };
    let (Some(input), Some(output)) = (started.stdin.take(), started.stdout.take()) else {
        return Err(Failure::failed(
            "the command has no standard input and output",
        ));
    };
    let mut input = Input(Some(input));
    // Dropped before its input is, and killed by that.
    let mut child = started;
    let (done, exited) = tokio::sync::oneshot::channel();
    let watching = async {
        let status = tokio::select! {
            status = child.wait() => Some(status),
            // Nobody is left to work for.
            _ = sender.closed() => ask_to_end(&mut child).await,
            () = stop.asked() => {
                sender.abort().await;
                ask_to_end(&mut child).await
            }
        };
        if let Some(status) = status {
            // Who ran it may have gone as well.
            let _ = done.send(status.map_or(Exit::Code(1), exit_of));
        }
    };
    let options = Options {
        exit: Some(Box::pin(
            async move { exited.await.unwrap_or(Exit::Code(1)) },
        )),
        ..Options::default()
    };
    let piping = xtls_pipe::run(secure.tunnel, output, &mut input, options);
    let (piped, ()) = tokio::join!(piping, watching);
    if stop.is_asked() {
        return Ok(());
    }
    let why = match &piped {
        Ok(_) => None,
        Err(_) => Secure::why(&sender, say, &suggest).await,
    };
    // A command that goes on although it was asked to end is waited for.
    drop(input);
    tokio::select! {
        _ = child.wait() => {}
        () = stop.asked() => {}
    }
    told(peer.as_str(), piped, why, say)
}

/// Starts the command. Who calls is in its environment.
fn start(command: &[String], secure: &Secure) -> Result<Child, Failure> {
    let Some((program, args)) = command.split_first() else {
        return Err(Failure::usage("no command given after --"));
    };
    Command::new(program)
        .args(args)
        .env("XTLS_PEER", secure.peer.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::failed(format!("cannot run {program}: {error}")))
}

/// The standard input of a command, which ends when it is shut down: tokio's own ends when it is dropped, and not before.
struct Input(Option<ChildStdin>);

impl AsyncWrite for Input {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(input) => Pin::new(input).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(cx);
        if flushed.is_ready() {
            self.0 = None;
        }
        flushed
    }
}

/// Asks a command to end; how it has, if it does so soon.
async fn ask_to_end(child: &mut Child) -> Option<io::Result<ExitStatus>> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    timeout(ENDING, child.wait()).await.ok()
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;

    let number = |number: i32| u32::try_from(number).unwrap_or(1);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(number(code)),
        (None, signal) => Exit::Signal(number(signal.unwrap_or(1))),
    }
}

/// Reports how a pipe went. `why`: why the tunnel ended, if that was not in order.
fn told(
    peer: &str,
    piped: Result<Outcome, PipeError>,
    why: Option<Failure>,
    say: Say,
) -> Result<(), Failure> {
    let (outcome, fault) = match piped {
        Ok(outcome) => (outcome, None),
        Err(error) => (error.outcome, Some(error.fault)),
    };
    let traffic = outcome.traffic;
    let exit = match outcome.exit {
        Some(Exit::Code(code)) => Value::from(code),
        Some(Exit::Signal(signal)) => Value::from(format!("signal {signal}")),
        None => Value::Null,
    };
    let fields = [
        ("peer", Value::from(peer)),
        ("sent", Value::from(traffic.sent)),
        ("taken", Value::from(traffic.taken)),
        ("received", Value::from(traffic.received)),
        ("exit", exit),
    ];
    say.data("piped", &fields);
    let Some(fault) = fault else {
        return exited(peer, outcome.exit);
    };
    // What happened to the tunnel says more than that it was cut.
    if let (Side::Tunnel, Some(why)) = (fault.side(), why) {
        return Err(why);
    }
    let code = match &fault {
        _ if fault.is_truncation() => Code::Corrupt,
        Fault::PeerInput => Code::Corrupt,
        Fault::PeerReader | Fault::NotWanted => Code::Peer,
        Fault::Broken(_) => Code::Corrupt,
        Fault::Input(_) | Fault::Output(_) | Fault::Truncated(_) | Fault::Tunnel(_) | _ => {
            Code::Failed
        }
    };
    let taken = match traffic.sent {
        0 => String::new(),
        sent => format!("; {peer} has taken {} of {sent} bytes", traffic.taken),
    };
    Err(Failure::new(
        code,
        format!("{peer}: {}{taken}", crate::failure::chain(&fault)),
    ))
}

/// How the command at the other end has exited.
fn exited(peer: &str, exit: Option<Exit>) -> Result<(), Failure> {
    match exit {
        None | Some(Exit::Code(0)) => Ok(()),
        Some(Exit::Code(code)) => Err(Failure::failed(format!(
            "the command of {peer} exited with code {code}"
        ))),
        Some(Exit::Signal(signal)) => Err(Failure::failed(format!(
            "the command of {peer} was ended by signal {signal}"
        ))),
    }
}

/// For a command to end before its input does.
const ENDING: Duration = Duration::from_millis(500);
