//! Why something was not sent or not stored, as one end tells the other.

use std::fmt;

use crate::text::{cut, is_unfit};

/// Why an entry, or a whole transfer, comes to nothing. One octet on the wire; people get the sentence and the text beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The person who was asked said no.
    Declined,
    /// There is less room than the offer needs.
    NoSpace,
    /// The disk became full on the way.
    DiskFull,
    /// A name that is not taken.
    Name,
    /// Something has this name, and another name was not wanted.
    Exists,
    /// The file changed while it was sent.
    Changed,
    /// The file could not be read.
    Unreadable,
    /// The content did not have the hash that was said, twice.
    Hash,
    /// Somebody else receives this very file at the moment.
    InUse,
    /// Neither a file nor a folder.
    Kind,
    /// The same file is there already.
    Have,
    /// The other end broke the protocol.
    Protocol,
    /// The owner gave up.
    Cancelled,
    /// More than is taken in one transfer.
    Limit,
    /// The disk refused something else.
    Disk,
    /// A reason that this version does not know.
    Other(u8),
}

impl Reason {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Declined => 1,
            Self::NoSpace => 2,
            Self::DiskFull => 3,
            Self::Name => 4,
            Self::Exists => 5,
            Self::Changed => 6,
            Self::Unreadable => 7,
            Self::Hash => 8,
            Self::InUse => 9,
            Self::Kind => 10,
            Self::Have => 11,
            Self::Protocol => 12,
            Self::Cancelled => 13,
            Self::Limit => 14,
            Self::Disk => 15,
            Self::Other(code) => code,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Declined,
            2 => Self::NoSpace,
            3 => Self::DiskFull,
            4 => Self::Name,
            5 => Self::Exists,
            6 => Self::Changed,
            7 => Self::Unreadable,
            8 => Self::Hash,
            9 => Self::InUse,
            10 => Self::Kind,
            11 => Self::Have,
            12 => Self::Protocol,
            13 => Self::Cancelled,
            14 => Self::Limit,
            15 => Self::Disk,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "it was declined",
            Self::NoSpace => "there is not enough free space",
            Self::DiskFull => "the disk is full",
            Self::Name => "the name is not one that is taken",
            Self::Exists => "there is something of this name already",
            Self::Changed => "the file changed while it was sent",
            Self::Unreadable => "the file cannot be read",
            Self::Hash => "the content is not what its hash says",
            Self::InUse => "another program receives this file at the moment",
            Self::Kind => "it is neither a file nor a folder",
            Self::Have => "it is there already",
            Self::Protocol => "the other end broke the protocol",
            Self::Cancelled => "it was cancelled",
            Self::Limit => "it is more than one transfer may hold",
            Self::Disk => "the disk refused it",
            Self::Other(code) => {
                return write!(f, "reason {code}, which this version does not know");
            }
        })
    }
}

/// A reason with what the other end adds for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The reason.
    pub reason: Reason,
    /// More about it, or nothing. No control characters: it may be shown.
    pub text: String,
}

impl Told {
    /// A reason with a text, of which at most [`MAX_TEXT`] octets are kept.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if text.chars().any(is_unfit) {
            text = text
                .chars()
                .map(|c| if is_unfit(c) { '\u{fffd}' } else { c })
                .collect();
        }
        text.truncate(cut(&text, MAX_TEXT).len());
        Self { reason, text }
    }
}

/// An offer that was turned down, and why.
#[cfg(feature = "tokio")]
pub(crate) fn turned_down(told: &Told) -> String {
    match (told.reason, told.text.as_str()) {
        (Reason::Declined, "") => "the offer was declined".to_owned(),
        (Reason::Declined, text) => format!("the offer was declined: {text}"),
        _ => format!("the offer was refused: {told}"),
    }
}

impl From<Reason> for Told {
    fn from(reason: Reason) -> Self {
        Self::new(reason, "")
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            return self.reason.fmt(f);
        }
        write!(f, "{}: {}", self.reason, self.text)
    }
}

/// Octets of such a text.
pub const MAX_TEXT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_would_move_the_cursor_is_made_harmless() {
        let told = Told::new(Reason::Declined, "no\u{1b}[2J\u{202e}thanks\r\n");
        assert_eq!(told.text, "no\u{fffd}[2J\u{fffd}thanks\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_text_is_cut_at_its_limit_between_characters() {
        assert_eq!(
            Told::new(Reason::Disk, "x".repeat(MAX_TEXT)).text.len(),
            MAX_TEXT
        );
        assert_eq!(
            Told::new(Reason::Disk, "x".repeat(MAX_TEXT + 1)).text.len(),
            MAX_TEXT
        );
        assert_eq!(
            Told::new(Reason::Disk, "ä".repeat(MAX_TEXT)).text,
            "ä".repeat(MAX_TEXT / 2)
        );
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn an_offer_that_somebody_did_not_want_was_declined_and_no_more_than_that() {
        let told = Told::from(Reason::Declined);
        assert_eq!(turned_down(&told), "the offer was declined");
        let told = Told::new(Reason::Declined, "nobody is there to be asked");
        assert_eq!(
            turned_down(&told),
            "the offer was declined: nobody is there to be asked"
        );
        assert_eq!(
            turned_down(&Told::from(Reason::NoSpace)),
            "the offer was refused: there is not enough free space"
        );
    }

    #[test]
    fn every_code_is_one_reason_and_comes_back() {
        for code in 0..=u8::MAX {
            let reason = Reason::from_code(code);
            assert_eq!(reason.code(), code);
            assert_eq!(matches!(reason, Reason::Other(_)), code == 0 || code > 15);
            assert!(!reason.to_string().is_empty());
        }
    }
}
