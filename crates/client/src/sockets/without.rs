//! A client that was built without sockets: its tunnels stay in-band.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use xtls_stanza::path::Because;
use xtls_tunnel::router::{Router, SocketWish};

use crate::driver::now;

/// There are none: the feature `paths` is off.
#[derive(Debug, Default)]
pub struct Sockets {}

impl Sockets {
    pub(crate) fn set_server(&mut self, _address: Option<SocketAddr>) {}

    pub(crate) fn follow(&mut self, router: &mut Router) {
        while let Some(wish) = router.poll_wish() {
            if let SocketWish::Dial { pipe, .. } = wish {
                router.connect_failed(now(), pipe, Because::Policy);
            }
        }
    }

    pub(crate) async fn finish(self) {}

    pub(crate) fn poll_turn(&mut self, _cx: &mut Context<'_>, _router: &mut Router) -> Poll<()> {
        Poll::Pending
    }
}
