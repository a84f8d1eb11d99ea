//! Named steps: the first that fails stops the run and reports its name.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps done so far, with the time each took.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs `work`, then prints how long each of its steps took.
    pub(crate) fn report(work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let mut steps = Self::default();
        let outcome = work(&mut steps);
        eprintln!();
        for (name, time) in &steps.done {
            eprintln!("{:>7.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = steps.done.iter().map(|(_, time)| *time).sum();
        eprintln!("{:>7.1} s  in all", total.as_secs_f64());
        outcome
    }

    /// Runs one step; its error carries its name.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.done.push((name.to_owned(), start.elapsed()));
        outcome.with_context(|| format!("the step `{name}` failed"))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failing_step_stops_the_run_with_its_name() {
        let mut later = false;
        let outcome = Steps::report(|steps| {
            steps.run("first", || bail!("no"))?;
            steps.run("second", || {
                later = true;
                Ok(())
            })
        });
        assert_eq!(outcome.unwrap_err().to_string(), "the step `first` failed");
        assert!(!later);
    }
}
