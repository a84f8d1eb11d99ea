//! A way to a server that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A port on loopback that leads to a server, until it is cut.
#[derive(Debug)]
pub struct Way {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: Notify,
    /// Connections that were cut.
    cuts: AtomicUsize,
}

impl Way {
    /// A way to this host and port.
    pub async fn to((host, port): (String, u16)) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let own = listener.local_addr().expect("its number").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (host, state) = (host.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // Where the server is down the way leads nowhere.
                    let Ok(mut far) = TcpStream::connect((host, port)).await else {
                        return;
                    };
                    tokio::select! {
                        // Octets on their way are lost with it, as they are in a network.
                        () = state.cut.notified() => {
                            state.cuts.fetch_add(1, Ordering::Relaxed);
                        }
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { port: own, state }
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection that there is now.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// How many connections have been cut.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Relaxed)
    }
}
