//! What only shows from inside: how often bytes are visited, and how much memory is held.

mod cost;
mod memory;
