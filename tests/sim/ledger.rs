//! What a link has taken and what has arrived: invariant I15.

use bytes::Bytes;

use crate::managed::unstamp;

/// The numbers of the stanzas of one link.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The last that the link took.
    accepted: u64,
    /// The last that came up to the server, and down to the client.
    up: u64,
    down: u64,
}

impl Ledger {
    /// The number of the next stanza, which the link takes.
    pub(crate) fn accept(&mut self) -> u64 {
        self.accepted += 1;
        self.accepted
    }

    /// I15, for a stanza that has come up.
    pub(crate) fn came_up(&mut self, number: u64) -> Result<(), String> {
        let next = self.up + 1;
        self.up = number;
        match number == next {
            true => Ok(()),
            false => Err(format!("I15: stanza {number} comes up in place of {next}")),
        }
    }

    /// The same, for one that has come down.
    pub(crate) fn came_down(&mut self, number: u64) -> Result<(), String> {
        let next = self.down + 1;
        self.down = number;
        match number == next {
            true => Ok(()),
            false => Err(format!(
                "I15: stanza {number} comes down in place of {next}"
            )),
        }
    }

    /// The same, for what a new binding tells of the old one: before it, the server had sent so many stanzas. `told`: the client
    /// knows how many had come; `refused`: the old one had no session.
    pub(crate) fn check_lost(
        &mut self,
        lost: &[Bytes],
        sent: u64,
        told: bool,
        refused: bool,
    ) -> Result<(), String> {
        let numbers: Option<Vec<u64>> = lost.iter().map(|xml| Some(unstamp(xml)?.0)).collect();
        let numbers = numbers.ok_or("I15: what is told to be lost was never sent")?;
        let first = self.accepted + 1 - numbers.len() as u64;
        let (accepted, arrived) = (self.accepted, self.up);
        (self.up, self.down) = (accepted, sent);
        if numbers.iter().copied().ne(first..=accepted) {
            return Err(format!(
                "I15: {numbers:?} of {accepted} are told to be lost"
            ));
        }
        // Without a session nobody says what becomes of anything.
        if !refused && first > arrived + 1 {
            return Err(format!(
                "I15: {arrived} of {accepted} have arrived, and from {first} on they are told to be lost"
            ));
        }
        if told && first != arrived + 1 {
            return Err(format!(
                "I15: {arrived} of {accepted} are known to have arrived, and from {first} on they are told to be lost"
            ));
        }
        Ok(())
    }
}
