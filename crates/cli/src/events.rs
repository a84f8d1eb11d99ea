//! What the JSON events and answers of the program look like: docs/EVENTS.md is this list for people, and says the same.

mod answers;

pub(crate) use answers::ANSWERS;

/// The fields of an event or an answer, besides `event`, `schema`, `time` and `tunnel`.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) always: &'static [&'static str],
    pub(crate) sometimes: &'static [&'static str],
}

impl Shape {
    /// Why an event does not look like this list says.
    pub(crate) fn fault<'a>(
        name: &str,
        fields: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<String> {
        let Some(shape) = EVENTS
            .iter()
            .chain(&ANSWERS)
            .find(|shape| shape.name == name)
        else {
            return Some(format!("no event is called {name}"));
        };
        let missing = shape
            .always
            .iter()
            .find(|known| fields.clone().all(|field| field != **known));
        let odd = fields
            .clone()
            .find(|field| !shape.always.contains(field) && !shape.sometimes.contains(field));
        match (missing, odd) {
            (Some(missing), _) => Some(format!("{name} lacks {missing}")),
            (None, Some(odd)) => Some(format!("{name} has {odd}")),
            (None, None) => None,
        }
    }
}

/// The version of all of this. It grows when a field changes its meaning or goes; new events and fields may come at any time.
pub(crate) const SCHEMA: u32 = 1;

/// One line each, on standard error.
pub(crate) const EVENTS: [Shape; 80] = [
    Shape {
        name: "connecting",
        always: &["address"],
        sometimes: &[],
    },
    Shape {
        name: "connected",
        always: &["address", "fingerprint"],
        sometimes: &[],
    },
    Shape {
        name: "listening",
        always: &["address", "fingerprint"],
        sometimes: &[],
    },
    Shape {
        name: "resource_changed",
        always: &["address", "fingerprint"],
        sometimes: &[],
    },
    Shape {
        name: "interrupted",
        always: &["why", "retry", "give_up"],
        sometimes: &[],
    },
    Shape {
        name: "resumed",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "bound_anew",
        always: &["address"],
        sometimes: &[],
    },
    Shape {
        name: "opening",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "incoming",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "declined",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "turned_away",
        always: &["peer", "limit", "wait", "times"],
        sometimes: &[],
    },
    Shape {
        name: "judge",
        always: &["peer", "fingerprint"],
        sometimes: &[],
    },
    Shape {
        name: "nobody_to_ask",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "not_pinned",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "established",
        always: &["peer", "fingerprint", "standing", "bound"],
        sometimes: &[],
    },
    Shape {
        name: "path",
        always: &["peer", "path"],
        sometimes: &[],
    },
    Shape {
        name: "path_lost",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "path_stayed",
        always: &["peer", "why"],
        sometimes: &[],
    },
    Shape {
        name: "unbound",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "waiting",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "rival",
        always: &["peer", "fingerprint", "pinned"],
        sometimes: &[],
    },
    Shape {
        name: "refused",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "unanswered",
        always: &["peer", "id"],
        sometimes: &[],
    },
    Shape {
        name: "not_sent",
        always: &["why"],
        sometimes: &["line"],
    },
    Shape {
        name: "undelivered",
        always: &["peer", "count", "lines"],
        sometimes: &[],
    },
    Shape {
        name: "cut",
        always: &["peer", "why", "again", "retry", "give_up"],
        sometimes: &[],
    },
    Shape {
        name: "restored",
        always: &["peer", "again"],
        sometimes: &[],
    },
    Shape {
        name: "not_kept",
        always: &["why"],
        sometimes: &[],
    },
    Shape {
        name: "chat_state",
        always: &["peer", "state"],
        sometimes: &[],
    },
    Shape {
        name: "piped",
        always: &["peer", "sent", "taken", "received", "exit"],
        sometimes: &[],
    },
    Shape {
        name: "left_out",
        always: &["path", "why"],
        sometimes: &[],
    },
    Shape {
        name: "waiting_for_peer",
        always: &["why", "retry"],
        sometimes: &[],
    },
    Shape {
        name: "invite",
        always: &["command"],
        sometimes: &[],
    },
    Shape {
        name: "offered",
        always: &["peer", "files", "bytes"],
        sometimes: &[],
    },
    Shape {
        name: "offer",
        always: &["peer", "files", "bytes", "names"],
        sometimes: &[],
    },
    Shape {
        name: "accepted",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "resumed_file",
        always: &["path", "offset"],
        sometimes: &[],
    },
    Shape {
        name: "progress",
        always: &["path", "stored", "bytes", "rate"],
        sometimes: &[],
    },
    Shape {
        name: "stored",
        always: &["path"],
        sometimes: &[],
    },
    Shape {
        name: "skipped",
        always: &["path", "why"],
        sometimes: &[],
    },
    Shape {
        name: "not_stored",
        always: &["path", "why"],
        sometimes: &[],
    },
    Shape {
        name: "sent",
        always: &["peer", "done", "skipped", "failed", "bytes", "seconds"],
        sometimes: &[],
    },
    Shape {
        name: "received",
        always: &["peer", "done", "skipped", "failed", "bytes", "seconds"],
        sometimes: &[],
    },
    Shape {
        name: "transfer_failed",
        always: &["direction", "peer", "why"],
        sometimes: &["name"],
    },
    Shape {
        name: "unconfirmed",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "forwarding",
        always: &["kind", "at", "peer"],
        sometimes: &["to"],
    },
    Shape {
        name: "serving",
        always: &["allow", "allow_bind"],
        sometimes: &[],
    },
    Shape {
        name: "listening_for",
        always: &["peer", "at"],
        sometimes: &[],
    },
    Shape {
        name: "tunnel_lost",
        always: &["peer", "why", "retry"],
        sometimes: &[],
    },
    Shape {
        name: "tunnel_back",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "connection_opened",
        always: &["peer", "from", "to"],
        sometimes: &[],
    },
    Shape {
        name: "connection_closed",
        always: &["peer", "from", "to", "sent", "received", "how"],
        sometimes: &[],
    },
    Shape {
        name: "connection_refused",
        always: &["peer", "from", "to", "why"],
        sometimes: &[],
    },
    Shape {
        name: "listen_refused",
        always: &["peer", "at", "why"],
        sometimes: &[],
    },
    Shape {
        name: "not_socks",
        always: &["peer", "from", "why"],
        sometimes: &[],
    },
    Shape {
        name: "peer_finished",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "closing",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "closed",
        always: &["peer", "by", "why", "clean", "unconfirmed"],
        sometimes: &[],
    },
    Shape {
        name: "asking",
        always: &["peer"],
        sometimes: &[],
    },
    Shape {
        name: "verification_asked",
        always: &["peer", "method"],
        sometimes: &[],
    },
    Shape {
        name: "compare",
        always: &["peer", "words", "confirm"],
        sometimes: &[],
    },
    Shape {
        name: "verified",
        always: &["peer", "fingerprint", "method"],
        sometimes: &[],
    },
    Shape {
        name: "not_verified",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "verification_failed",
        always: &["peer", "why"],
        sometimes: &[],
    },
    Shape {
        name: "help",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "who",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "account_added",
        always: &["address", "fingerprint", "default", "config"],
        sometimes: &[],
    },
    Shape {
        name: "account_removed",
        always: &["address", "password_removed"],
        sometimes: &[],
    },
    Shape {
        name: "default_account",
        always: &["address"],
        sometimes: &[],
    },
    Shape {
        name: "no_default",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "empty",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "pinned",
        always: &["peer", "fingerprint"],
        sometimes: &[],
    },
    Shape {
        name: "forgotten",
        always: &["peer", "keys", "marks"],
        sometimes: &[],
    },
    Shape {
        name: "revoked",
        always: &["peer", "fingerprint"],
        sometimes: &[],
    },
    Shape {
        name: "failed_attempts",
        always: &["peer", "failed"],
        sometimes: &[],
    },
    Shape {
        name: "folder",
        always: &[],
        sometimes: &[],
    },
    Shape {
        name: "core_dumps",
        always: &["why"],
        sometimes: &[],
    },
    Shape {
        name: "demo",
        always: &[
            "carrying_stanzas",
            "carrying_bytes",
            "inner_stanzas",
            "inner_bytes",
            "seconds",
        ],
        sometimes: &[
            "round_trips_to_speak",
            "round_trips_to_first_word",
            "round_trips_to_secure",
        ],
    },
    Shape {
        name: "drawn",
        always: &["file", "left_out"],
        sometimes: &[],
    },
    Shape {
        name: "failed",
        always: &["code", "what"],
        sometimes: &["hint"],
    },
];

#[cfg(test)]
mod tests;
