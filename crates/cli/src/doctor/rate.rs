//! How fast stanzas pass: to the server and back to us.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use xtls_stanza::{Content, Element, Envelope, Payload};

use super::desk::Desk;
use super::report::Report;
use crate::failure::{Code, Failure};

/// What came back, and when.
#[derive(Debug, Default)]
struct Returned {
    /// Since the beginning, with the bytes of each stanza.
    all: Vec<(Duration, usize)>,
    /// How long the last one was on its way.
    last: Duration,
}

impl Returned {
    /// Bytes a second in the second half of the time: servers that throttle let a first burst pass.
    fn rate(&self, lasted: Duration) -> f64 {
        let half = lasted / 2;
        let late = self.all.iter().filter(|(at, _)| *at > half);
        let bytes: usize = late.map(|(_, bytes)| bytes).sum();
        bytes as f64 / (lasted - half).as_secs_f64().max(f64::EPSILON)
    }

    fn bytes(&self) -> usize {
        self.all.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether something holds stanzas back: they wait for much longer than a short question takes.
    fn is_held_back(&self, way: Duration) -> bool {
        self.last > way * 8 && self.last > Duration::from_millis(500)
    }
}

/// Sends stanzas to our own address for some seconds.
pub(super) async fn examine(
    software: Option<&str>,
    desk: &mut Desk,
    report: &mut Report,
) -> Result<(), Failure> {
    let began = Instant::now();
    let deadline = began + LONGEST;
    let own = desk.link().bound().clone();
    let mut returned = Returned::default();
    let (mut window, mut waiting) = (FIRST_WINDOW, VecDeque::new());
    let mut sent = 0;
    let text = "0123456789abcdef".repeat(PIECE / 16);
    let mut lasted = LONGEST;
    loop {
        while waiting.len() < window && sent < MOST && Instant::now() < deadline {
            let probe = Envelope {
                from: None,
                to: Some(own.clone()),
                id: desk.id(),
                content: Content::Set(Payload::Other(Element::new("probe", NS).with_text(&text))),
            };
            let mut xml = Vec::new();
            probe.write(&mut xml);
            sent += xml.len();
            waiting.push_back((probe.id.clone(), Instant::now(), xml.len()));
            let Ok(passed) = timeout_at(deadline, desk.send(probe)).await else {
                break;
            };
            passed?;
        }
        if waiting.is_empty() && sent >= MOST {
            lasted = began.elapsed();
            break;
        }
        let Ok(envelope) = timeout_at(deadline, desk.next()).await else {
            break;
        };
        let envelope = envelope?;
        let is_next = |(id, ..): &&(String, Instant, usize)| *id == envelope.id;
        if envelope.from.as_ref() != Some(&own) || waiting.front().filter(is_next).is_none() {
            continue;
        }
        if let Content::Error(error) = &envelope.content {
            let text = format!(
                "not measured: the server answered {}",
                error.condition.name()
            );
            return report.unknown("rate", text);
        }
        let Some((_, left, bytes)) = waiting.pop_front() else {
            continue;
        };
        let took = left.elapsed();
        returned.last = took;
        returned.all.push((began.elapsed(), bytes));
        // As much as passes without waiting is under way.
        if took < QUICK {
            window = (window + 1).min(MAX_WINDOW);
        }
    }
    let held_back = returned.bytes() < MOST && returned.is_held_back(desk.quickest());
    tell(&returned, lasted, held_back, software, report)
}

fn tell(
    returned: &Returned,
    lasted: Duration,
    held_back: bool,
    software: Option<&str>,
    report: &mut Report,
) -> Result<(), Failure> {
    if returned.all.is_empty() {
        let what = format!("nothing came back within {} s", lasted.as_secs());
        let hint = "the server takes stanzas and does not deliver them: ask whoever runs it";
        return report.wrong("rate", Failure::new(Code::Server, what).hint(hint));
    }
    let rate = returned.rate(lasted);
    let shown = speed(rate);
    if !held_back {
        return report.fine("rate", format!("{shown} to the server and back"));
    }
    let who = match software {
        Some(name) if name.eq_ignore_ascii_case("prosody") => {
            "Prosody as shipped reads 10 kB/s from a client: whoever runs it can raise `limits`, c2s, `rate`"
        }
        Some(name) if name.eq_ignore_ascii_case("ejabberd") => {
            "ejabberd slows clients down by its shapers: whoever runs it can raise `c2s_shaper`"
        }
        Some(_) | None => {
            "most servers slow clients down, or the line to it is slow; whoever runs it can tell"
        }
    };
    let text = format!(
        "{shown} to the server and back, limited by the server: long messages and files take their time"
    );
    report.remark("rate", text, who)
}

fn speed(bytes: f64) -> String {
    if bytes >= 1_000_000.0 {
        format!("{:.1} MB/s", bytes / 1e6)
    } else if bytes >= 10_000.0 {
        format!("{:.0} kB/s", bytes / 1e3)
    } else {
        format!("{:.1} kB/s", bytes / 1e3)
    }
}

const NS: &str = "urn:xmpp:tmp:xtls#doctor";

/// Bytes of text in one stanza, and bytes that are sent at most.
const PIECE: usize = 4_096;
const MOST: usize = 1_048_576;

/// How long it is measured.
const LONGEST: Duration = Duration::from_secs(6);

/// Stanzas under way, at first and at most. A slow server is still to read them when we leave.
const FIRST_WINDOW: usize = 4;
const MAX_WINDOW: usize = 64;

/// What comes back so soon has not waited.
const QUICK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(rate: usize, seconds: u64, burst: usize) -> Returned {
        let pieces = (1..=seconds * 10).map(|at| {
            let bytes = rate / 10 + if at == 1 { burst } else { 0 };
            (Duration::from_millis(at * 100), bytes)
        });
        Returned {
            all: pieces.collect(),
            ..Returned::default()
        }
    }

    #[test]
    fn a_first_burst_does_not_count() {
        let returned = steady(10_000, 6, 30_000);
        let rate = returned.rate(Duration::from_secs(6));
        assert!((9_900.0..10_100.0).contains(&rate), "{rate}");
        assert_eq!(returned.bytes(), 90_000);
    }

    #[test]
    fn a_long_way_alone_holds_nothing_back() {
        let ms = Duration::from_millis;
        let held_back = |way, last| {
            let returned = Returned {
                last: ms(last),
                ..Returned::default()
            };
            returned.is_held_back(ms(way))
        };
        assert!(!held_back(600, 900));
        assert!(!held_back(2, 400));
        assert!(held_back(2, 1_500));
    }

    #[test]
    fn speeds_are_told_in_two_figures_or_more() {
        assert_eq!(speed(9_876.0), "9.9 kB/s");
        assert_eq!(speed(123_456.0), "123 kB/s");
        assert_eq!(speed(4_560_000.0), "4.6 MB/s");
    }
}
