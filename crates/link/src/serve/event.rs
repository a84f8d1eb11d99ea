//! What happens on a client's stream.

use bytes::Bytes;
use xtls_stanza::Address;

use super::plain::Login;

/// What happens on a client's stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServingEvent {
    /// The client says who it is. Nothing happens until [`Serving::log_in`](crate::Serving::log_in) says whether it is let in.
    Login(Login),
    /// The client asks for a resource, and this is the full address that it would have, chosen by the client or made up here.
    /// Nothing happens until [`Serving::bind`](crate::Serving::bind) or [`Serving::refuse`](crate::Serving::refuse) is called.
    Bind(Address),
    /// A stanza, whole and unread. It counts as handled from now on.
    Stanza(Bytes),
    /// The client has closed the stream.
    Closed,
}
