//! Tests of the whole mux.

mod accept;
mod answers;
mod close;
mod data;
mod message;
mod path;
mod support;
