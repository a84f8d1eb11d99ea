//! Acknowledgements to the server (XEP-0198), a few at a time.
//!
//! tokio-xmpp asks for one behind everything that it sends, and answers each request of the server by a write of its own. For
//! a server that is as much work as the stanzas themselves: a read, a reply, a wake-up. One in [`HOLD`] says the same:
//! a request is for all that came before it, and an acknowledgement counts from the beginning.

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use tokio::time::Instant;

/// At most one of each leaves in this time. Far below what anybody waits for, and few enough stanzas meanwhile for a server
/// that keeps hundreds.
pub(super) const HOLD: Duration = Duration::from_millis(20);

/// As tokio-xmpp writes them, and nothing else can end what it flushes like that: within a stanza an end tag would follow.
const ASK: &[u8] = b"<r xmlns='urn:xmpp:sm:3'></r>";
const ACK: &[u8] = b"<a xmlns='urn:xmpp:sm:3' h='";
const ACK_END: &[u8] = b"'></a>";
const STREAM_END: &[u8] = b"</stream:stream>";

/// What is held back.
#[derive(Debug, Default)]
pub(super) struct Hold {
    ask: bool,
    /// The number of the newest.
    ack: Option<Vec<u8>>,
    /// When some left last.
    left: Option<Instant>,
}

impl Hold {
    /// When what is held back has to leave; `None`: nothing is.
    pub(super) fn due(&self) -> Option<Instant> {
        // The first leaves at once, so that whatever is held comes after another.
        Some(self.left? + HOLD).filter(|_| self.ask || self.ack.is_some())
    }

    /// Looks at what is about to leave, whole elements from `start` on: takes out what can wait, and puts in what has waited
    /// long enough.
    pub(super) fn pass(&mut self, now: Instant, out: &mut BytesMut, start: usize) {
        if out.ends_with(STREAM_END) {
            // The last word on what has come: the server may store the rest for later.
            let end = out.split_off(out.len() - STREAM_END.len());
            self.release(now, out);
            out.extend_from_slice(&end);
            return;
        }
        let mut newest = None;
        while let Some(last) = last(out.get(start..).unwrap_or_default()) {
            let len = match last {
                Last::Ask => {
                    self.ask = true;
                    ASK.len()
                }
                // Of several the last, which is met first, says most.
                Last::Ack(count) => {
                    newest.get_or_insert_with(|| count.to_vec());
                    ACK.len() + count.len() + ACK_END.len()
                }
            };
            out.truncate(out.len() - len);
        }
        self.ack = newest.or_else(|| self.ack.take());
        if self.left.is_none_or(|left| left + HOLD <= now) {
            self.release(now, out);
        }
    }

    /// Puts out what is held back.
    pub(super) fn release(&mut self, now: Instant, out: &mut BytesMut) {
        let before = out.len();
        if std::mem::take(&mut self.ask) {
            out.put_slice(ASK);
        }
        if let Some(count) = self.ack.take() {
            out.put_slice(ACK);
            out.put_slice(&count);
            out.put_slice(ACK_END);
        }
        if out.len() > before {
            self.left = Some(now);
        }
    }
}

/// An element that can wait.
enum Last<'a> {
    Ask,
    /// With its number.
    Ack(&'a [u8]),
}

/// The last element, if it is one that can wait.
fn last(said: &[u8]) -> Option<Last<'_>> {
    if said.ends_with(ASK) {
        return Some(Last::Ask);
    }
    let rest = said.strip_suffix(ACK_END)?;
    let digits = rest.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, count) = rest.split_at_checked(rest.len() - digits)?;
    (digits > 0 && before.ends_with(ACK)).then_some(Last::Ack(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A7: &str = "<a xmlns='urn:xmpp:sm:3' h='7'></a>";
    const A9: &str = "<a xmlns='urn:xmpp:sm:3' h='9'></a>";
    const R: &str = "<r xmlns='urn:xmpp:sm:3'></r>";

    fn pass(hold: &mut Hold, now: Instant, text: &str) -> String {
        let mut out = BytesMut::from(text.as_bytes());
        hold.pass(now, &mut out, 0);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_leaves_at_once_and_the_next_with_the_time() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        assert_eq!(
            pass(&mut hold, now, &format!("<iq/>{R}")),
            format!("<iq/>{R}")
        );
        assert_eq!(hold.due(), None);
        assert_eq!(pass(&mut hold, now, &format!("<iq/>{R}{A7}")), "<iq/>");
        assert_eq!(pass(&mut hold, now, A9), "");
        assert_eq!(hold.due(), Some(now + HOLD));
        assert_eq!(
            pass(&mut hold, now + HOLD, "<iq/>"),
            format!("<iq/>{R}{A9}")
        );
        assert_eq!(hold.due(), None);
        assert_eq!(pass(&mut hold, now + HOLD * 3, A9), A9);
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_of_several_is_kept() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        pass(&mut hold, now, R);
        assert_eq!(pass(&mut hold, now, &format!("{A7}{A9}")), "");
        assert_eq!(pass(&mut hold, now + HOLD, ""), A9);
        pass(&mut hold, now + HOLD, A7);
        // A later one, in a write of its own, counts more.
        pass(&mut hold, now + HOLD, A9);
        assert_eq!(pass(&mut hold, now + HOLD * 2, ""), A9);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_stream_waits_for_nothing_and_follows_everything() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        pass(&mut hold, now, R);
        assert_eq!(pass(&mut hold, now, A7), "");
        let end = pass(&mut hold, now, "<presence/></stream:stream>");
        assert_eq!(end, format!("<presence/>{A7}</stream:stream>"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_looks_like_one_passes() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        pass(&mut hold, now, R);
        for text in [
            "<a xmlns='urn:xmpp:sm:3' h=''></a>",
            "<a xmlns='urn:xmpp:sm:2' h='7'></a>",
            "<message><a xmlns='urn:xmpp:sm:3' h='7'></a></message>",
            "7'></a>",
        ] {
            assert_eq!(pass(&mut hold, now, text), text);
        }
        // Of what has been looked at before nothing is taken.
        let mut out = BytesMut::from(A7.as_bytes());
        hold.pass(now, &mut out, A7.len());
        assert_eq!(out, A7);
    }
}
