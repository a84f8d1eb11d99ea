//! Why a request for a tunnel was turned away for now: the limit, and how long to wait (our extension).

use std::fmt;
use std::str::FromStr;

use crate::condition::{Condition, ErrorType, StanzaError};
use crate::element::Element;
use crate::ns;

/// The namespace of `<limit/>`.
pub const NS: &str = ns::XTLS_LIMIT;

/// The longest wait that is honoured, in seconds: a day.
const MAX_WAIT: u32 = 86_400;

/// A limit that a request for a tunnel ran into. It is set by its name: `xtls_tunnel::Config::limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Opens per minute from one bare address.
    OpensPerMinute,
    /// The same from a bare address whose key is known.
    OpensPerMinuteKnown,
    /// Opens per minute from all addresses together.
    OpensPerMinuteInAll,
    /// Concurrent streams.
    Streams,
    /// Concurrent streams opened by one bare address.
    StreamsPerPeer,
    /// Concurrent opens that wait for the owner's decision.
    Pending,
    /// The same from one bare address.
    PendingPerPeer,
    /// Concurrent unfinished handshakes.
    Unfinished,
    /// The same with one bare address.
    UnfinishedPerPeer,
    /// New tunnels that the application has yet to take.
    Incoming,
    /// Tunnels of one service.
    Tunnels,
    /// The same with one bare address.
    TunnelsPerPeer,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::OpensPerMinute,
        Self::OpensPerMinuteKnown,
        Self::OpensPerMinuteInAll,
        Self::Streams,
        Self::StreamsPerPeer,
        Self::Pending,
        Self::PendingPerPeer,
        Self::Unfinished,
        Self::UnfinishedPerPeer,
        Self::Incoming,
        Self::Tunnels,
        Self::TunnelsPerPeer,
    ];

    /// Its name on the wire and in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpensPerMinute => "opens-per-minute",
            Self::OpensPerMinuteKnown => "opens-per-minute-known",
            Self::OpensPerMinuteInAll => "opens-per-minute-in-all",
            Self::Streams => "streams",
            Self::StreamsPerPeer => "streams-per-peer",
            Self::Pending => "pending",
            Self::PendingPerPeer => "pending-per-peer",
            Self::Unfinished => "unfinished",
            Self::UnfinishedPerPeer => "unfinished-per-peer",
            Self::Incoming => "incoming",
            Self::Tunnels => "tunnels",
            Self::TunnelsPerPeer => "tunnels-per-peer",
        }
    }

    /// What is counted: one, several, and what makes it this limit. `None`: it is met without the count, too.
    fn words(self) -> Option<[&'static str; 3]> {
        Some(match self {
            Self::OpensPerMinute => ["open", "opens", " a minute from one address"],
            Self::OpensPerMinuteKnown => ["open", "opens", " a minute from an address it knows"],
            Self::OpensPerMinuteInAll => ["open", "opens", " a minute from everybody together"],
            Self::Streams => ["stream", "streams", " at a time"],
            Self::StreamsPerPeer => ["stream", "streams", " at a time from one address"],
            Self::Pending => ["unanswered open", "unanswered opens", " at a time"],
            Self::PendingPerPeer => [
                "unanswered open",
                "unanswered opens",
                " at a time from one address",
            ],
            Self::Unfinished => [
                "unfinished handshake",
                "unfinished handshakes",
                " at a time",
            ],
            Self::UnfinishedPerPeer => [
                "unfinished handshake",
                "unfinished handshakes",
                " at a time from one address",
            ],
            // The application may be busy with one tunnel, and take no other meanwhile.
            Self::Incoming => return None,
            Self::Tunnels => ["tunnel", "tunnels", " of this service at a time"],
            Self::TunnelsPerPeer => [
                "tunnel",
                "tunnels",
                " of this service at a time from one address",
            ],
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Limit {
    type Err = UnknownLimit;

    fn from_str(name: &str) -> Result<Self, UnknownLimit> {
        let mut all = Self::ALL.into_iter();
        all.find(|limit| limit.name() == name).ok_or(UnknownLimit)
    }
}

/// No limit has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no limit has this name")]
pub struct UnknownLimit;

/// A request for a tunnel met a limit.
///
/// It travels as the application's own condition in a `policy-violation` of type `wait`:
/// `<limit xmlns='urn:xmpp:tmp:xtls#limit' name='opens-per-minute' most='6' wait='37'/>`. Messages to the user are built
/// from the name and the two numbers, so that a peer can't make us display text of its own.
///
/// ```
/// use xtls_stanza::busy::{Busy, Limit};
///
/// let busy = Busy { limit: Limit::OpensPerMinute, most: 6, wait: 37 };
/// assert_eq!(busy.to_string(), "accepts 6 opens a minute from one address, try again in 37 s");
/// assert_eq!(Busy::read(&busy.to_error()), Some(busy));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Which limit.
    pub limit: Limit,
    /// How many it allows.
    pub most: u32,
    /// Seconds after which a retry makes sense.
    pub wait: u32,
}

impl Busy {
    /// Reads the `<limit/>` in an error; `None` if there is none, or it is malformed or unknown.
    #[must_use]
    pub fn read(error: &StanzaError) -> Option<Self> {
        let element = error.app.as_ref().filter(|app| app.is("limit", NS))?;
        let number = |name| {
            let text: &str = element.attr(name)?;
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        Some(Self {
            limit: element.attr("name")?.parse().ok()?,
            most: number("most")?,
            wait: number("wait").map(|wait: u32| wait.min(MAX_WAIT))?,
        })
    }

    /// The error that reports it, as text and for programs: `policy-violation` of type `wait`.
    #[must_use]
    pub fn to_error(self) -> StanzaError {
        let limit = Element::new("limit", NS)
            .with_attr("name", self.limit.name())
            .with_attr("most", self.most.to_string())
            .with_attr("wait", self.wait.to_string());
        StanzaError::new(ErrorType::Wait, Condition::PolicyViolation)
            .with_text(self.to_string())
            .with_app(limit)
    }
}

/// As a clause about the end that has the limit: "accepts 6 opens a minute from one address, try again in 37 s".
impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, most, wait } = self;
        match limit.words() {
            Some([one, several, which]) => {
                let what = if *most == 1 { one } else { several };
                write!(f, "accepts {most} {what}{which}")?;
            }
            None => f.write_str("takes no new tunnels at the moment")?,
        }
        write!(f, ", try again in {wait} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_app(app: Element) -> StanzaError {
        StanzaError::new(ErrorType::Wait, Condition::PolicyViolation).with_app(app)
    }

    fn limit() -> Element {
        Element::new("limit", NS)
            .with_attr("name", "streams")
            .with_attr("most", "64")
            .with_attr("wait", "10")
    }

    #[test]
    fn what_is_no_limit_or_cannot_be_read_is_none() {
        let bare = StanzaError::new(ErrorType::Wait, Condition::PolicyViolation);
        assert_eq!(Busy::read(&bare), None);
        assert!(Busy::read(&with_app(limit())).is_some());
        for wrong in [
            Element::new("limit", "urn:other")
                .with_attr("name", "streams")
                .with_attr("most", "64")
                .with_attr("wait", "10"),
            Element::new("limit", NS).with_attr("name", "streams"),
            limit().with_attr("most", "+6"),
            limit().with_attr("most", ""),
            limit().with_attr("wait", "-1"),
            limit().with_attr("wait", "4294967296"),
            limit().with_attr("name", "streams of words"),
        ] {
            assert_eq!(Busy::read(&with_app(wrong.clone())), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_wait_is_believed_up_to_a_day() {
        for (told, believed) in [("0", 0), ("86400", 86_400), ("86401", 86_400)] {
            let error = with_app(limit().with_attr("wait", told));
            assert_eq!(Busy::read(&error).map(|busy| busy.wait), Some(believed));
        }
    }

    #[test]
    fn none_is_missing_among_all() {
        // A new variant does not compile here before it has a place.
        let place = |limit| match limit {
            Limit::OpensPerMinute => 0,
            Limit::OpensPerMinuteKnown => 1,
            Limit::OpensPerMinuteInAll => 2,
            Limit::Streams => 3,
            Limit::StreamsPerPeer => 4,
            Limit::Pending => 5,
            Limit::PendingPerPeer => 6,
            Limit::Unfinished => 7,
            Limit::UnfinishedPerPeer => 8,
            Limit::Incoming => 9,
            Limit::Tunnels => 10,
            Limit::TunnelsPerPeer => 11,
        };
        let places: Vec<_> = Limit::ALL.into_iter().map(place).collect();
        assert_eq!(places, Vec::from_iter(0..12));
    }

    #[test]
    fn every_limit_has_a_name_and_a_sentence_of_its_own_and_comes_back() {
        let mut sentences = std::collections::BTreeSet::new();
        for limit in Limit::ALL {
            assert_eq!(limit.name().parse(), Ok(limit));
            let busy = Busy {
                limit,
                most: 3,
                wait: 7,
            };
            let error = StanzaError::read(&busy.to_error().to_element());
            assert_eq!(Busy::read(&error), Some(busy));
            assert_eq!(
                (error.condition, error.kind),
                (Condition::PolicyViolation, ErrorType::Wait)
            );
            assert_eq!(error.text, Some(busy.to_string()));
            sentences.insert(busy.to_string());
        }
        assert_eq!(sentences.len(), Limit::ALL.len());
        assert_eq!("Streams".parse::<Limit>(), Err(UnknownLimit));
    }

    #[test]
    fn one_is_not_many() {
        let busy = Busy {
            limit: Limit::Pending,
            most: 1,
            wait: 10,
        };
        let said = "accepts 1 unanswered open at a time, try again in 10 s";
        assert_eq!(busy.to_string(), said);
    }

    #[test]
    fn an_end_that_is_busy_does_not_say_how_many_it_would_take() {
        let busy = Busy {
            limit: Limit::Incoming,
            most: 32,
            wait: 10,
        };
        let said = "takes no new tunnels at the moment, try again in 10 s";
        assert_eq!(busy.to_string(), said);
    }
}
