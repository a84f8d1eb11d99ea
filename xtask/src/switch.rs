//! A switch for a running server: a test turns it off, in order or not, and on again.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result, bail};

use crate::running::Running;

/// Puts a switch into the server's folder, as a socket. Who connects writes `kill`, `stop` or `start` on a line each, and reads
/// `done` or an error when it has happened. `start` starts the server again, and returns when it is ready.
pub(crate) fn install(
    socket: &Path,
    server: &Arc<Mutex<Running>>,
    start: impl Fn(&mut Running) -> Result<()> + Send + 'static,
) -> Result<()> {
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("cannot listen at {}", socket.display()))?;
    // It does not keep the server running.
    let server = Arc::downgrade(server);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            if let Err(error) = serve(connection, &server, &start) {
                eprintln!("the switch of a server: {error:#}");
            }
        }
    });
    Ok(())
}

fn serve(
    mut connection: UnixStream,
    server: &Weak<Mutex<Running>>,
    start: &impl Fn(&mut Running) -> Result<()>,
) -> Result<()> {
    let lines = BufReader::new(connection.try_clone()?).lines();
    for line in lines {
        let server = server.upgrade().context("the server has ended")?;
        let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
        let switched = turn(&line?, &mut server, start);
        match switched {
            Ok(()) => writeln!(connection, "done")?,
            Err(error) => writeln!(connection, "{}", format!("{error:#}").replace('\n', "; "))?,
        }
    }
    Ok(())
}

fn turn(
    what: &str,
    server: &mut Running,
    start: &impl Fn(&mut Running) -> Result<()>,
) -> Result<()> {
    match what {
        "kill" => server.kill(),
        "stop" => {
            server.stop();
            Ok(())
        }
        "start" => start(server),
        other => bail!("no position {other:?}"),
    }
}
