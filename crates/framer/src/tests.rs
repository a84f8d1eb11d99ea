//! What only shows inside: how often bytes are looked at, and what is held.

mod cost;
mod memory;
