//! What was measured, as a table.

use std::time::Duration;

/// Durations of one kind.
pub(crate) struct Times {
    what: &'static str,
    all: Vec<Duration>,
}

impl Times {
    pub(crate) fn new(what: &'static str) -> Self {
        let all = Vec::new();
        Self { what, all }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.all.push(time);
    }

    pub(crate) fn longest(&self) -> Duration {
        self.all.iter().max().copied().unwrap_or_default()
    }

    /// `what`, how many, the shortest, the median, the longest.
    pub(crate) fn print(&mut self) {
        self.all.sort();
        let at = |part: usize| {
            let place = (self.all.len() * part / 100).min(self.all.len().saturating_sub(1));
            let time = self.all.get(place).copied().unwrap_or_default();
            format!("{:6.2}", time.as_secs_f64())
        };
        println!(
            "| {:<46} | {:5} | {} | {} | {} |",
            self.what,
            self.all.len(),
            at(0),
            at(50),
            at(100)
        );
    }
}

pub(crate) fn print_head(what: &str) {
    println!("\n| {what:<46} | count |  least | median |   most |");
}
