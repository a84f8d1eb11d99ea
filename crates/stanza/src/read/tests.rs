//! Tests of the strict reader.

mod accepted;
mod cost;
mod differential;
mod refused;
