//! Tests of envelopes.
