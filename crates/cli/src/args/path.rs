//! Where tunnels may move, and who may learn an address by that.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use clap::{Args, ValueEnum};
use xtls_stanza::path::Takes;
use xtls_stanza::s5b::Host;

use super::account::host_port;

/// Paths beside the server.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Path")]
pub(crate) struct PathArgs {
    /// How far a tunnel may leave the servers: in-band, own, proxy, direct, any.
    ///
    /// in-band: stanzas only. own: a relay of your own server; nobody new learns your IP address. proxy: also a relay of the peer's
    /// server, which learns it. direct: own, and straight to the peer, who learns it. any: all of these. Toward a key that you see
    /// for the first time, direct and any count as own. Default: own for send, receive, pipe and forward, in-band otherwise.
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    pub(crate) path: Option<PathPolicy>,
    /// Let peers connect here, with --path direct or any. Repeatable.
    ///
    /// It answers nobody but the peer of a tunnel. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) path_listen: Vec<SocketAddr>,
    /// Where peers reach your --path-listen, if that is another address: your router's, say. Repeatable.
    #[arg(long, value_name = "HOST:PORT", value_parser = place, requires = "path_listen")]
    pub(crate) path_advertise: Vec<(Host, NonZeroU16)>,
    /// Connect to addresses of private networks and of this machine as well, if a peer names them.
    #[arg(long)]
    pub(crate) path_private: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PathPolicy {
    /// Stanzas only.
    InBand,
    /// A relay of your own server.
    Own,
    /// Also one of the peer's server.
    Proxy,
    /// A relay of your own server, or straight to the peer.
    Direct,
    /// All of these.
    Any,
}

impl From<PathPolicy> for Takes {
    fn from(policy: PathPolicy) -> Self {
        match policy {
            PathPolicy::InBand => Self::InBand,
            PathPolicy::Own => Self::Own,
            PathPolicy::Proxy => Self::Proxy,
            PathPolicy::Direct => Self::Direct,
            PathPolicy::Any => Self::Any,
        }
    }
}

fn place(text: &str) -> Result<(Host, NonZeroU16), String> {
    let (host, port) = host_port(text)?;
    Host::new(&host)
        .zip(NonZeroU16::new(port))
        .ok_or_else(|| format!("{host:?} is no host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_advertise_has_a_host_and_a_port() {
        let port = NonZeroU16::new(7_000).unwrap();
        let host = |text| Host::new(text).unwrap();
        assert_eq!(place("[2001:db8::1]:7000"), Ok((host("2001:db8::1"), port)));
        assert_eq!(place("home.example:7000"), Ok((host("home.example"), port)));
        for wrong in [
            "home.example",
            "home.example:0",
            ":7000",
            "home.example:70000",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
