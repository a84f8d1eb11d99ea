//! Answers to queries.

use super::Shape;

/// One line each, on standard output.
pub(crate) const ANSWERS: [Shape; 6] = [
    Shape {
        name: "id",
        always: &["address", "fingerprint", "words", "uri", "folder"],
        sometimes: &[],
    },
    Shape {
        name: "account",
        always: &["address", "default", "fingerprint"],
        sometimes: &[
            "server",
            "direct_tls",
            "ca_file",
            "pin_server",
            "password_file",
            "password_command",
            "resource",
            "allow_plain",
            "trust",
            "accept",
        ],
    },
    Shape {
        name: "pin",
        always: &[
            "peer",
            "fingerprint",
            "level",
            "first_seen",
            "since",
            "last_seen",
        ],
        sometimes: &[],
    },
    Shape {
        name: "doubt",
        always: &["peer", "fingerprint", "by", "since"],
        sometimes: &[],
    },
    Shape {
        name: "check",
        always: &["step", "mark", "text"],
        sometimes: &["hint"],
    },
    Shape {
        name: "step",
        always: &[
            "us",
            "layer",
            "direction",
            "peer",
            "what",
            "length",
            "records",
        ],
        sometimes: &[],
    },
];
