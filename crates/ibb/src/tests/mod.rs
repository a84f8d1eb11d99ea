//! Tests of the whole mux.

mod accept;
mod answers;
mod close;
mod data;
mod law;
mod message;
mod pair;
mod path;
mod pressure;
mod support;
