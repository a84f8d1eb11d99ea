//! SASL PLAIN (RFC 4616), as a server reads it.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use xtls_stanza::Address;
use xtls_stanza::base64::{self, Whitespace};
use zeroize::Zeroizing;

use crate::session::normalised;

/// Who a client says that it is.
pub struct Login {
    account: Address,
    password: Zeroizing<String>,
}

impl Login {
    /// The bare address.
    #[must_use]
    pub fn account(&self) -> &Address {
        &self.account
    }

    /// Whether this is the password. How long that takes says nothing about how much of it is right.
    #[must_use]
    pub fn is_password(&self, password: &str) -> bool {
        let [given, right] = [self.password.as_str(), password].map(Sha256::digest);
        given.ct_eq(&right).into()
    }

    /// The password, for somebody else to check.
    #[must_use]
    pub fn password(&self) -> &Zeroizing<String> {
        &self.password
    }

    /// Reads a message of a client of this domain, in base64.
    pub(super) fn read(text: &str, domain: &Address) -> Result<Self, Refusal> {
        // A message of no length has a sign of its own (RFC 6120 §6.4.2), and is none here.
        let message = base64::decode(text.trim(), Whitespace::Skip);
        let message = message.map_err(|_| Refusal::IncorrectEncoding)?;
        let message = Zeroizing::new(Vec::from(message));
        let message = std::str::from_utf8(&message).map_err(|_| Refusal::MalformedRequest)?;
        let mut parts = message.split('\0');
        let (Some(as_whom), Some(local), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::MalformedRequest);
        };
        if local.is_empty() || password.is_empty() {
            return Err(Refusal::MalformedRequest);
        }
        // That it can be no account is not told apart from that there is none.
        let account = normalised(&format!("{local}@{domain}"));
        let account = account.map_err(|_| Refusal::NotAuthorized)?;
        if account.domain() != domain.as_str() || account.resource().is_some() {
            return Err(Refusal::NotAuthorized);
        }
        if !as_whom.is_empty() && !normalised(as_whom).is_ok_and(|whom| whom == account) {
            return Err(Refusal::InvalidAuthzid);
        }
        Ok(Self {
            account,
            password: Zeroizing::new(password.to_owned()),
        })
    }
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Why a client cannot log in like this (RFC 6120 §6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Aborted,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    NotAuthorized,
}

impl Refusal {
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::NotAuthorized => "not-authorized",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Login, Refusal> {
        let mut text = Vec::new();
        base64::encode(message, &mut text);
        let domain = Address::new("example.org").unwrap();
        Login::read(std::str::from_utf8(&text).unwrap(), &domain)
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let domain = Address::new("example.org").unwrap();
        for text in ["=", "!", "AGEAY", "AGEAYg==="] {
            let refused = Login::read(text, &domain).unwrap_err();
            assert_eq!(refused, Refusal::IncorrectEncoding, "{text}");
        }
        for message in [
            &b""[..],
            b"a",
            b"a\0b",
            b"\0\0b",
            b"\0a\0",
            b"\0a\0b\0",
            b"\0a\0b\0c",
            b"\0a\0\xff",
        ] {
            let refused = read(message).unwrap_err();
            assert_eq!(refused, Refusal::MalformedRequest, "{message:?}");
        }
    }

    #[test]
    fn a_name_that_is_none_or_leads_elsewhere_is_refused() {
        for local in [
            "a@b",
            "a/b",
            "a@example.org",
            "a@example.org/b",
            "<",
            "@",
            "/",
        ] {
            let message = format!("\0{local}\0b");
            let refused = read(message.as_bytes()).unwrap_err();
            assert_eq!(refused, Refusal::NotAuthorized, "{local}");
        }
    }

    #[test]
    fn nobody_acts_for_somebody_else() {
        for whom in [
            "b@example.org",
            "a@example.net",
            "a",
            "a@example.org/x",
            "@",
        ] {
            let message = format!("{whom}\0a\0b");
            let refused = read(message.as_bytes()).unwrap_err();
            assert_eq!(refused, Refusal::InvalidAuthzid, "{whom}");
        }
        assert!(read(b"a@example.org\0a\0b").is_ok());
    }

    #[test]
    fn a_password_is_the_whole_password() {
        let login = read("\0romeo\0p\u{e4}ss w\u{f6}rd".as_bytes()).unwrap();
        assert_eq!(login.account().as_str(), "romeo@example.org");
        for wrong in [
            "",
            "p\u{e4}ss",
            "p\u{e4}ss w\u{f6}rd ",
            "P\u{e4}ss w\u{f6}rd",
        ] {
            assert!(!login.is_password(wrong), "{wrong}");
        }
        assert!(login.is_password("p\u{e4}ss w\u{f6}rd"));
        assert!(!format!("{login:?}").contains("ss"), "{login:?}");
    }
}
