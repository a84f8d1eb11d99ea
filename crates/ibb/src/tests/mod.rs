//! Tests of the whole mux.

mod path;
mod support;
