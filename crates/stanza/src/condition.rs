//! Stanza errors (RFC 6120 §8.3).

use std::fmt;

use crate::element::{Element, Node};
use crate::ns;

/// A defined condition of RFC 6120 §8.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The request is malformed or cannot be processed.
    BadRequest,
    /// The name or address is already in use.
    Conflict,
    /// The feature is not implemented.
    FeatureNotImplemented,
    /// The requester may not do this.
    Forbidden,
    /// The addressee is no longer at this address.
    Gone,
    /// The responder failed.
    InternalServerError,
    /// The addressee or item doesn't exist.
    ItemNotFound,
    /// An address in the request is malformed.
    JidMalformed,
    /// The request does not meet the criteria of the responder.
    NotAcceptable,
    /// No one may do this.
    NotAllowed,
    /// The requester must authenticate first.
    NotAuthorized,
    /// The request violates a local policy.
    PolicyViolation,
    /// The addressee is offline for now.
    RecipientUnavailable,
    /// Requests go to another address for now.
    Redirect,
    /// The requester must register first.
    RegistrationRequired,
    /// The remote server does not exist.
    RemoteServerNotFound,
    /// The remote server cannot be reached in time.
    RemoteServerTimeout,
    /// The responder lacks the resources.
    ResourceConstraint,
    /// The service is not provided.
    ServiceUnavailable,
    /// The requester must subscribe first.
    SubscriptionRequired,
    /// None of the above.
    UndefinedCondition,
    /// The request came at an unexpected time.
    UnexpectedRequest,
}

impl Condition {
    /// All 22, in the order of the RFC.
    pub const ALL: [Self; 22] = [
        Self::BadRequest,
        Self::Conflict,
        Self::FeatureNotImplemented,
        Self::Forbidden,
        Self::Gone,
        Self::InternalServerError,
        Self::ItemNotFound,
        Self::JidMalformed,
        Self::NotAcceptable,
        Self::NotAllowed,
        Self::NotAuthorized,
        Self::PolicyViolation,
        Self::RecipientUnavailable,
        Self::Redirect,
        Self::RegistrationRequired,
        Self::RemoteServerNotFound,
        Self::RemoteServerTimeout,
        Self::ResourceConstraint,
        Self::ServiceUnavailable,
        Self::SubscriptionRequired,
        Self::UndefinedCondition,
        Self::UnexpectedRequest,
    ];

    /// The name of its element.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Conflict => "conflict",
            Self::FeatureNotImplemented => "feature-not-implemented",
            Self::Forbidden => "forbidden",
            Self::Gone => "gone",
            Self::InternalServerError => "internal-server-error",
            Self::ItemNotFound => "item-not-found",
            Self::JidMalformed => "jid-malformed",
            Self::NotAcceptable => "not-acceptable",
            Self::NotAllowed => "not-allowed",
            Self::NotAuthorized => "not-authorized",
            Self::PolicyViolation => "policy-violation",
            Self::RecipientUnavailable => "recipient-unavailable",
            Self::Redirect => "redirect",
            Self::RegistrationRequired => "registration-required",
            Self::RemoteServerNotFound => "remote-server-not-found",
            Self::RemoteServerTimeout => "remote-server-timeout",
            Self::ResourceConstraint => "resource-constraint",
            Self::ServiceUnavailable => "service-unavailable",
            Self::SubscriptionRequired => "subscription-required",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnexpectedRequest => "unexpected-request",
        }
    }

    /// The condition with this element name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// The type that RFC 6120 §8.3.3 names (first) for it.
    pub fn default_type(self) -> ErrorType {
        match self {
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect => ErrorType::Modify,
            Self::Forbidden
            | Self::NotAuthorized
            | Self::RegistrationRequired
            | Self::SubscriptionRequired => ErrorType::Auth,
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorType::Wait,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable
            | Self::UndefinedCondition => ErrorType::Cancel,
        }
    }

    /// The numeric codes of the first years (XEP-0086).
    fn from_code(code: &str) -> Option<(Self, ErrorType)> {
        let found = match code {
            "302" => Self::Redirect,
            "400" => Self::BadRequest,
            "401" => Self::NotAuthorized,
            "403" => Self::Forbidden,
            "404" => Self::ItemNotFound,
            "405" => Self::NotAllowed,
            "406" => Self::NotAcceptable,
            "407" => Self::RegistrationRequired,
            "408" | "504" => Self::RemoteServerTimeout,
            "409" => Self::Conflict,
            "500" => return Some((Self::InternalServerError, ErrorType::Wait)),
            "501" => Self::FeatureNotImplemented,
            "502" => return Some((Self::ServiceUnavailable, ErrorType::Wait)),
            "503" | "510" => Self::ServiceUnavailable,
            _ => return None,
        };
        Some((found, found.default_type()))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the sender of the failed request can do (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorType {
    /// Retry with credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Go on: it was a warning.
    Continue,
    /// Retry with other data.
    Modify,
    /// Retry later.
    Wait,
}

impl ErrorType {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Auth,
        Self::Cancel,
        Self::Continue,
        Self::Modify,
        Self::Wait,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The `<error/>` of a stanza of type `error` (RFC 6120 §8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender of the failed request can do.
    pub kind: ErrorType,
    /// What went wrong. React to this, not to `kind`.
    pub condition: Condition,
    /// Human-readable text. The peer wrote it: present it as such.
    pub text: Option<String>,
    /// An application-specific condition.
    pub app: Option<Element>,
}

impl StanzaError {
    /// An error without text.
    pub fn new(kind: ErrorType, condition: Condition) -> Self {
        Self {
            kind,
            condition,
            text: None,
            app: None,
        }
    }

    /// Adds human-readable text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Adds an application-specific condition.
    #[must_use]
    pub fn with_app(mut self, app: Element) -> Self {
        self.app = Some(app);
        self
    }

    /// Reads an `<error/>`. Never fails: what is missing or unknown becomes `undefined-condition`,
    /// an absent or unknown type becomes the default type of the condition, and the numeric codes
    /// and bare texts of XEP-0086 are understood.
    pub fn read(element: &Element) -> Self {
        Self {
            app: element.elements().find(|e| is_app(e)).cloned(),
            ..Self::bare(element)
        }
    }

    /// Like `read`, without a copy.
    pub(crate) fn take(element: Element) -> Self {
        let bare = Self::bare(&element);
        let app = element.children.into_iter().find_map(|node| match node {
            Node::Element(element) => Some(*element).filter(is_app),
            Node::Text(_) => None,
        });
        Self { app, ..bare }
    }

    /// Without the application-specific condition.
    fn bare(element: &Element) -> Self {
        let code = element.attr("code").and_then(Condition::from_code);
        let defined = element
            .elements()
            .filter(|e| e.ns == ns::STANZAS)
            .find_map(|e| Condition::from_name(&e.name));
        let (condition, default) = match (defined, code) {
            (Some(condition), _) => (condition, condition.default_type()),
            (None, Some(pair)) => pair,
            (None, None) => (Condition::UndefinedCondition, ErrorType::Cancel),
        };
        let kind = element
            .attr("type")
            .and_then(ErrorType::from_name)
            .unwrap_or(default);
        let text = match element.child("text", ns::STANZAS) {
            Some(text) => Some(text.text()),
            None => Some(element.text().trim().to_owned()).filter(|t| !t.is_empty()),
        };
        Self {
            kind,
            condition,
            text,
            app: None,
        }
    }

    /// The `<error/>` element, in `jabber:client`.
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("error", ns::CLIENT)
            .with_attr("type", self.kind.name())
            .with_child(Element::new(self.condition.name(), ns::STANZAS));
        if let Some(text) = &self.text {
            element = element.with_child(Element::new("text", ns::STANZAS).with_text(text));
        }
        if let Some(app) = &self.app {
            element.children.push(app.clone().into());
        }
        element
    }
}

fn is_app(element: &Element) -> bool {
    element.ns != ns::STANZAS
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.condition, self.kind)?;
        match &self.text {
            Some(text) => write!(f, ": {}", text.escape_debug()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StanzaError {}
