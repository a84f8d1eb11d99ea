//! A way to a server that can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A port on loopback that leads to a server, until it is cut.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: Notify,
    /// Connections that were cut.
    cuts: AtomicUsize,
    /// Connections that were accepted.
    taken: AtomicUsize,
}

impl Way {
    /// A way to this host and port.
    pub async fn to((host, port): (String, u16)) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, |_| (host, port)).await
    }

    /// A way from this address to another one: to whichever port it has itself.
    pub async fn before(front: Ipv4Addr, behind: Ipv4Addr) -> Self {
        Self::at(front, |port| (behind.to_string(), port)).await
    }

    async fn at(address: Ipv4Addr, to: impl FnOnce(u16) -> (String, u16)) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let (host, port) = to(address.port());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                shared.taken.fetch_add(1, Ordering::Relaxed);
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
        Self { address, state }
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// That with its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have been made to it.
    pub fn taken(&self) -> usize {
        self.state.taken.load(Ordering::Relaxed)
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
