//! A hostile peer against the real program: what it refuses, what it says, and how it exits.

#[path = "exits/cut.rs"]
mod cut;
#[path = "exits/identity.rs"]
mod identity;
#[path = "exits/inside.rs"]
mod inside;
#[path = "exits/stage.rs"]
mod stage;
#[path = "exits/version.rs"]
mod version;
