//! STARTTLS (RFC 6120 §5): a stream without anything worth reading, up to the byte where TLS begins.

use bytes::{Buf as _, BytesMut};
use xtls_framer::Cutter;
use xtls_stanza::Element;

use crate::error::ConnectError;
use crate::features::{Features, STARTTLS};
use crate::header::{Header, cutter};
use crate::open_tag::open_tag;
use crate::stream_error::StreamError;

/// The negotiation of STARTTLS with a server, without I/O.
///
/// It knows the domain and nothing else, so nothing else can leave in the clear. Nothing that comes is believed afterwards, and
/// nothing may follow the server's consent: what somebody on the way adds to it would otherwise be read as if it had been
/// encrypted.
#[derive(Debug)]
pub struct StartTls {
    domain: String,
    inbound: BytesMut,
    outbound: BytesMut,
    step: Step,
    /// Elements that have come.
    elements: usize,
}

#[derive(Debug)]
enum Step {
    Header,
    Features(Header, Cutter),
    Answer(Header, Cutter),
    Done,
}

impl StartTls {
    /// Begins a stream to this domain. Its header is there to be [sent](Self::poll_transmit).
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let mut outbound = BytesMut::new();
        open_tag("jabber:client", None, domain, &mut outbound);
        Self {
            domain: domain.to_owned(),
            inbound: BytesMut::new(),
            outbound,
            step: Step::Header,
            elements: 0,
        }
    }

    /// Octets for the server.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        (!self.outbound.is_empty()).then(|| self.outbound.split())
    }

    /// Takes octets that have come. `true`: the server waits for the TLS handshake.
    ///
    /// # Errors
    /// The server does not do it, or somebody interferes. All of them are the end.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<bool, ConnectError> {
        if matches!(self.step, Step::Done) {
            return Err(self.injected(bytes.len()));
        }
        self.inbound.extend_from_slice(bytes);
        loop {
            self.step = match std::mem::replace(&mut self.step, Step::Done) {
                Step::Header => {
                    let found = Header::find(&self.inbound);
                    let found = found.map_err(|why| ConnectError::Header {
                        during: DURING,
                        why,
                    })?;
                    let Some((header, taken)) = found else {
                        self.step = Step::Header;
                        return Ok(false);
                    };
                    self.inbound.advance(taken);
                    let checked = header
                        .check("jabber:client")
                        .and_then(|()| header.check_version());
                    checked.map_err(|why| ConnectError::Header {
                        during: DURING,
                        why,
                    })?;
                    Step::Features(header, cutter())
                }
                Step::Features(header, mut cutter) => match self.next(&header, &mut cutter)? {
                    None => {
                        self.step = Step::Features(header, cutter);
                        return Ok(false);
                    }
                    Some(element) => {
                        let offered =
                            Features::read(&element).ok_or_else(|| unexpected(&element))?;
                        if !offered.starttls {
                            return Err(ConnectError::NoStartTls {
                                domain: self.domain.clone(),
                            });
                        }
                        self.outbound.extend_from_slice(REQUEST);
                        Step::Answer(header, cutter)
                    }
                },
                Step::Answer(header, mut cutter) => match self.next(&header, &mut cutter)? {
                    None => {
                        self.step = Step::Answer(header, cutter);
                        return Ok(false);
                    }
                    Some(element) => return self.on_answer(&element),
                },
                Step::Done => return Err(self.injected(0)),
            };
        }
    }

    fn on_answer(&mut self, answer: &Element) -> Result<bool, ConnectError> {
        if answer.is("failure", STARTTLS) {
            return Err(ConnectError::Tls {
                domain: self.domain.clone(),
                why: "the server offers STARTTLS and then refuses it".into(),
            });
        }
        if !answer.is("proceed", STARTTLS) {
            return Err(unexpected(answer));
        }
        match self.inbound.is_empty() {
            true => Ok(true),
            false => Err(self.injected(0)),
        }
    }

    fn injected(&self, more: usize) -> ConnectError {
        ConnectError::Injected {
            domain: self.domain.clone(),
            bytes: self.inbound.len().saturating_add(more),
        }
    }

    /// The next element; a stream error is an error.
    fn next(
        &mut self,
        header: &Header,
        cutter: &mut Cutter,
    ) -> Result<Option<Element>, ConnectError> {
        let protocol = |why: &dyn ToString| ConnectError::protocol(DURING, why.to_string());
        let frame = cutter
            .cut(&mut self.inbound)
            .map_err(|why| protocol(&why))?;
        let Some(frame) = frame else {
            return Ok(None);
        };
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(protocol(&"too many elements"));
        }
        let element = header
            .read(frame.as_bytes())
            .map_err(|why| protocol(&why))?;
        match StreamError::read(&element) {
            Some(error) => Err(ConnectError::Stream(error)),
            None => Ok(Some(element)),
        }
    }
}

fn unexpected(element: &Element) -> ConnectError {
    let name = element.name.as_str();
    ConnectError::protocol(DURING, format_args!("an unexpected <{name}/>"))
}

const DURING: &str = "before encryption";

const REQUEST: &[u8] = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// Elements that have to do with it.
const MAX_ELEMENTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::MAX_ELEMENT;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='example.org' id='1' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    const OFFER: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
    const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

    /// What comes of octets in pieces of this size, and what was sent.
    fn run(text: &str, piece: usize) -> (Result<bool, ConnectError>, String) {
        let mut machine = StartTls::new("example.org");
        let mut sent = Vec::new();
        let mut end = Ok(false);
        for piece in text.as_bytes().chunks(piece) {
            end = machine.handle_bytes(piece);
            while let Some(bytes) = machine.poll_transmit() {
                sent.extend_from_slice(&bytes);
            }
            if end.is_err() {
                break;
            }
        }
        (end, String::from_utf8(sent).unwrap())
    }

    fn refused(text: &str) -> ConnectError {
        run(text, usize::MAX).0.unwrap_err()
    }

    #[test]
    fn what_follows_the_consent_in_the_clear_is_injected() {
        for injected in [" ", "<", "<stream:features/>"] {
            for piece in [1, usize::MAX] {
                let text = format!("{HEADER}{OFFER}{PROCEED}{injected}");
                let error = run(&text, piece).0.unwrap_err();
                assert!(matches!(error, ConnectError::Injected { .. }), "{error:?}");
                assert!(error.is_final());
            }
        }
    }

    // XMPPFramework #332, twisted #9206, xmpp_dart #1
    #[test]
    fn nothing_is_logged_in_before_tls() {
        let sasl = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
            <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
        let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        let both = OFFER.replace("<starttls", &format!("{sasl}<starttls"));
        let without = format!("<stream:features>{sasl}</stream:features>");
        for (offer, answer) in [
            (&*without, ""),
            (&both, ""),
            (&both, success),
            (&both, PROCEED),
        ] {
            for piece in [1, 7, usize::MAX] {
                let (_, sent) = run(&format!("{HEADER}{offer}{answer}"), piece);
                let request = std::str::from_utf8(REQUEST).unwrap();
                let rest = sent.replace(request, "");
                assert!(
                    rest.ends_with(" version='1.0'>") && rest.matches('<').count() == 2,
                    "{sent}"
                );
            }
        }
        // A success is no consent.
        let error = refused(&format!("{HEADER}{both}{success}"));
        assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
        assert!(error.is_final());
    }

    #[test]
    fn nothing_is_kept_of_what_comes_after_the_end() {
        let mut machine = StartTls::new("example.org");
        let text = format!("{HEADER}{OFFER}{PROCEED}");
        assert_eq!(machine.handle_bytes(text.as_bytes()), Ok(true));
        for _ in 0..3 {
            let error = machine.handle_bytes(&[b'x'; 1_000]).unwrap_err();
            assert!(
                matches!(error, ConnectError::Injected { bytes: 1_000, .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_server_without_starttls_is_not_spoken_to_in_the_clear() {
        let (end, sent) = run(&format!("{HEADER}<stream:features/>"), usize::MAX);
        assert!(
            matches!(end, Err(ConnectError::NoStartTls { .. })),
            "{end:?}"
        );
        assert_eq!(sent.matches('<').count(), 2, "{sent}");
    }

    #[test]
    fn what_is_no_stream_or_another_one_is_refused() {
        for text in [
            "HTTP/1.1 400 Bad Request",
            &HEADER.replace("client", "server"),
            &HEADER.replace("'1.0'>", "'0.9'>"),
        ] {
            assert!(
                matches!(refused(text), ConnectError::Header { .. }),
                "{text}"
            );
        }
        for text in [
            "<x/>",
            "</stream:stream>",
            "<!-- -->",
            "<a>&#0;</a>",
            "<message/>",
        ] {
            let error = refused(&format!("{HEADER}{text}"));
            assert!(
                matches!(error, ConnectError::Protocol { .. }),
                "{text}: {error:?}"
            );
        }
        let long = format!("{HEADER}<stream:features>{}", "x".repeat(MAX_ELEMENT));
        assert!(matches!(refused(&long), ConnectError::Protocol { .. }));
        let error = refused(&format!(
            "{HEADER}<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        ));
        assert!(matches!(error, ConnectError::Stream(error) if error.condition == "reset"));
        let failure = format!("{HEADER}{OFFER}<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert!(matches!(refused(&failure), ConnectError::Tls { .. }));
        let twice = format!("{HEADER}{OFFER}{OFFER}");
        assert!(matches!(refused(&twice), ConnectError::Protocol { .. }));
    }

    #[test]
    fn the_first_header_names_nobody() {
        let (_, sent) = run("", 1);
        assert_eq!(sent, "");
        let first = StartTls::new("example.org").poll_transmit().unwrap();
        let first = std::str::from_utf8(&first).unwrap();
        assert!(
            first.contains(" to='example.org' ") && !first.contains("from="),
            "{first}"
        );
    }

    #[test]
    fn a_consent_leads_to_tls_in_every_cutting() {
        let text = format!("{HEADER}{OFFER}{PROCEED}");
        for piece in [1, 2, 3, 7, 64, usize::MAX] {
            let (end, sent) = run(&text, piece);
            assert_eq!(end, Ok(true));
            assert!(sent.ends_with(std::str::from_utf8(REQUEST).unwrap()));
        }
    }
}
