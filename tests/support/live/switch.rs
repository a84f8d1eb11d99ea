//! Turns a server off and on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::server::Server;

/// The switch of a server that xtask has started with one. Dropping it leaves the server on, whatever became of the test.
#[derive(Debug)]
pub struct Switch {
    socket: PathBuf,
    off: bool,
}

impl Switch {
    /// Of this server.
    pub fn of(server: &Server) -> Self {
        Self {
            socket: server.switch(),
            off: false,
        }
    }

    /// Kills it without any warning (SIGKILL).
    pub async fn kill(&mut self) {
        self.off = true;
        self.turn("kill").await;
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub async fn stop(&mut self) {
        self.off = true;
        self.turn("stop").await;
    }

    /// Starts it again, and waits until it takes connections.
    pub async fn start(&mut self) {
        self.turn("start").await;
        self.off = false;
    }

    async fn turn(&self, position: &'static str) {
        let socket = self.socket.clone();
        let turned = tokio::task::spawn_blocking(move || turn(&socket, position));
        turned.await.expect("no panic");
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if self.off {
            turn(&self.socket, "start");
        }
    }
}

fn turn(socket: &Path, position: &str) {
    let mut stream = UnixStream::connect(socket).expect("the switch");
    writeln!(stream, "{position}").expect("the switch");
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .expect("the switch");
    assert_eq!(answer.trim_end(), "done", "{position}");
}
