//! Chunks in bare iqs over the same link: no stream, a fixed window. The upper bound for a stream.

use std::time::{Duration, Instant};

use xtls_client::uplink::LinkEvent;
use xtls_client::xmpp::Link;
use xtls_stanza::ibb::{Data, Seq, Sid};
use xtls_stanza::{Address, Content, Envelope, Payload};

use crate::link::Server;

/// Chunks of `block` bytes, up to `window` of them unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) block: usize,
    pub(crate) window: usize,
}

pub(crate) struct Raw {
    link: Link,
    to: Address,
    sid: Sid,
    sent: u64,
}

impl Raw {
    /// Two links; the far one answers every chunk with an empty result.
    pub(crate) async fn start(server: &Server) -> Self {
        let far = server.login("juliet", "raw").await;
        Self::between(server.login("romeo", "raw").await, far)
    }

    /// The same without XEP-0198.
    pub(crate) async fn start_unmanaged(server: &Server) -> Self {
        let far = server.login_unmanaged("juliet", "unmanaged").await;
        Self::between(server.login_unmanaged("romeo", "unmanaged").await, far)
    }

    fn between(link: Link, mut far: Link) -> Self {
        let to = far.bound().clone();
        tokio::spawn(async move {
            while let Ok(inbound) = far.next().await {
                let LinkEvent::Envelope(envelope) = inbound else {
                    continue;
                };
                if matches!(envelope.content, Content::Set(Payload::Data(_)))
                    && far.send(envelope.result(None)).await.is_err()
                {
                    break;
                }
            }
        });
        Self {
            link,
            to,
            sid: Sid::new("raw").expect("a sid"),
            sent: 0,
        }
    }

    /// How long `size` bytes take, including the last answer.
    pub(crate) async fn run(&mut self, size: usize, fixed: Fixed) -> Duration {
        let bytes = bytes::Bytes::from(vec![0x5a; fixed.block]);
        let chunks = size.div_ceil(fixed.block);
        let (mut sent, mut answered) = (0, 0);
        let start = Instant::now();
        while answered < chunks {
            while sent < chunks && sent - answered < fixed.window {
                self.sent += 1;
                let data = Data {
                    sid: self.sid.clone(),
                    seq: Seq(0),
                    bytes: bytes.clone(),
                };
                let envelope = Envelope {
                    from: None,
                    to: Some(self.to.clone()),
                    id: format!("raw{}", self.sent),
                    content: Content::Set(Payload::Data(data)),
                };
                self.link.send(envelope).await.expect("the link holds");
                sent += 1;
            }
            if let LinkEvent::Envelope(envelope) = self.link.next().await.expect("the link holds") {
                match envelope.content {
                    Content::Result(_) => answered += 1,
                    Content::Error(error) => panic!("a chunk came back: {error}"),
                    _ => {}
                }
            }
        }
        start.elapsed()
    }
}
