//! Support for whole-stack tests: a deterministic pair of routers, a seeded network, fixed keys, and the live servers.

pub mod keys;
pub mod live;
pub mod net;
pub mod pair;
pub mod raw;
