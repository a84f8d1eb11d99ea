//! What happened in many runs, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::setup::Adversary;

/// The sums.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Runs.
    pub seeds: u64,
    /// Events.
    pub steps: u64,
    /// Stanzas that arrived.
    pub stanzas: u64,
    /// Stanzas that arrived and could not be read.
    pub unreadable: u64,
    /// Deadlines that passed.
    pub deadlines: u64,
    /// Tunnels that were opened, counted at each end.
    pub tunnels: u64,
    /// Of these, established.
    pub established: u64,
    /// Of these, ended clean.
    pub clean: u64,
    /// Of these, ended with the peer's confirmation that its application took everything.
    pub taken: u64,
    /// Stanzas that came out of tunnels.
    pub delivered: u64,
    /// Tunnels whose session was replaced by a newer one, counted at each end.
    pub renewed: u64,
    /// Words that were shown to people.
    pub compared: u64,
    /// Verifications that succeeded, counted at each end.
    pub verified: u64,
    /// Virtual time.
    pub time: Duration,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Runs by adversary.
    pub adversaries: BTreeMap<Adversary, u64>,
}

impl Totals {
    /// Counts one more fault of this kind.
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.stanzas += other.stanzas;
        self.unreadable += other.unreadable;
        self.deadlines += other.deadlines;
        self.tunnels += other.tunnels;
        self.established += other.established;
        self.clean += other.clean;
        self.taken += other.taken;
        self.delivered += other.delivered;
        self.renewed += other.renewed;
        self.compared += other.compared;
        self.verified += other.verified;
        self.time += other.time;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (adversary, count) in &other.adversaries {
            *self.adversaries.entry(*adversary).or_default() += count;
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hours = self.time.as_secs() / 3600;
        writeln!(
            f,
            "{:>12} steps in {} runs, {hours} hours of virtual time",
            self.steps, self.seeds
        )?;
        writeln!(
            f,
            "{:>12} stanzas arrived, {} of them unreadable; {} deadlines",
            self.stanzas, self.unreadable, self.deadlines
        )?;
        writeln!(
            f,
            "{:>12} ends of tunnels, {} established, {} clean, {} taken; {} stanzas out of them",
            self.tunnels, self.established, self.clean, self.taken, self.delivered
        )?;
        writeln!(
            f,
            "{:>12} renewed; words shown {} times, {} verified",
            self.renewed, self.compared, self.verified
        )?;
        write!(f, "adversaries:")?;
        for (adversary, count) in &self.adversaries {
            write!(f, " {adversary:?} {count}")?;
        }
        write!(f, "\nfaults:")?;
        for (kind, count) in &self.faults {
            write!(f, " {kind} {count}")?;
        }
        Ok(())
    }
}
