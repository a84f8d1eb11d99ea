//! The simulated world: whole routers with real TLS between hostile servers, on a clock that only jumps.
//!
//! A seed determines who attacks, what fails and how everyone is configured ([`setup`]). Owners act by a script
//! ([`run`]), servers route (`server`), sockets carry what leaves them ([`sockets`]), the adversary acts (`storm`, `forge`, [`mallory`]), and after every step what
//! happened is compared with what may happen ([`oracle`], [`referee`], [`canary`]). At the end the faults stop,
//! everything is closed, and two clients who can trust each other must be able to talk again.
//!
//! The invariants from I1 to I13 of the design that concern tunnels apply here:
//!
//! | | what | where |
//! | --- | --- | --- |
//! | I1 | what comes out of a tunnel is a prefix of what the holder of the established key put in, with restored
//! addresses; clean means all of it | [`oracle`] |
//! | I2 | a canary in every plaintext is never seen outside, raw or in base64 | [`canary`] |
//! | I3 | nothing goes in or comes out before the verdict, and no one is established whom the owner does not trust |
//! [`oracle`] |
//! | I4 | nothing is sent in plaintext: the same canary | [`canary`] |
//! | I5 | once the faults stop everything ends, every request has its answer, and a new tunnel works | [`run`] |
//! | I6 | windows and half-open tunnels stay within their bounds | [`referee`], `owner` |
//! | I7 | no panic, no overflow, nothing on the wire that violates XEP-0047 or the original flow, no hello for two
//! streams, and nothing to strangers except that the service is unavailable | [`referee`] |
//! | I8 | pins change only on a first use and by a verification; the verified key is that of the person it claims to
//! be, and words are shown only for the nonce that was committed to | [`client`], `verify` |
//! | I9 | the pins are read back as they were written, or refused: a torn file is never an empty one | [`client`] |
//! | I10 | no more is acknowledged than the owner has taken, and the backlog | `owner` |
//! | I11 | an end with nothing to send sends little: signs of life, and new keys when they are due | [`run`] |
//! | I12 | crossing opens end in one tunnel | [`run`] |
//! | I13 | the same seed gives the same trace | [`run`] |
//! | I15 | what a link takes arrives in order and once, or is told to be lost; a resumed one loses and doubles nothing |
//! [`uplink`] |
//! | I16 | nothing is dialled, and nobody is let in, beyond what both owners allow; no address is in a stanza | `sockets`,
//! `opened` |
//! | I17 | no key of signals meets a number twice | `signals` |
//! | I18 | what breaks off ends one path and nothing else; servers cut nothing that a path beside them carries; no socket is
//! left behind | `beside`, [`run`] |
//!
//! I9 to I11 are about files and rates, of which routers know nothing; here they are checked on the nearest equivalent.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "a test that cannot go on says so by failing"
)]

mod beside;
pub mod canary;
pub mod client;
pub mod dice;
mod forge;
mod ledger;
mod legs;
pub mod mallory;
mod managed;
pub mod model;
mod opened;
pub mod oracle;
mod outage;
mod owner;
pub mod paths;
mod proxies;
pub mod referee;
pub mod run;
mod server;
pub mod setup;
mod signals;
pub mod sockets;
mod storm;
pub mod totals;
pub mod uplink;
mod verify;
mod wires;
pub mod world;

pub use xtls_test_keys as keys;
