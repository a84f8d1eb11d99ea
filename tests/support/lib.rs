//! Support for whole-stack tests.
