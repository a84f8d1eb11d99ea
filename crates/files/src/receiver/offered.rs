//! What was offered, and how far each entry has come.

use crate::entry::{Entry, MAX_ENTRIES, MAX_NAMES, Totals};
use crate::fault::Fault;
use crate::name::{self, NameFault, Rules};
use crate::turn::{Outcome, place};
use crate::wire::RawEntry;

/// The entries of an offer.
#[derive(Debug)]
pub(super) struct Offered {
    rules: Rules,
    hidden: bool,
    items: Vec<Item>,
    names: usize,
    totals: Totals,
    outcome: Outcome,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) state: State,
    /// How often it was asked for.
    pub(super) tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Offered,
    Misnamed(NameFault),
    Looked,
    Wanted,
    Getting,
    /// Failed here while it was wanted or came: what comes of it is dropped.
    Dropping,
    Ended,
    Done,
    Skipped,
    Failed,
}

impl Offered {
    pub(super) fn new(rules: Rules, hidden: bool) -> Self {
        Self {
            rules,
            hidden,
            items: Vec::new(),
            names: 0,
            totals: Totals::default(),
            outcome: Outcome::default(),
        }
    }

    pub(super) fn add(&mut self, raw: &RawEntry) -> Result<(), Fault> {
        if self.totals.entries() >= MAX_ENTRIES {
            return Err(Fault::TooManyEntries(MAX_ENTRIES));
        }
        let (path, state) = match name::check(raw.names(), self.rules) {
            Ok(path) if path.starts_with('.') && !self.hidden => {
                (path, State::Misnamed(NameFault::Hidden))
            }
            Ok(path) => (path, State::Offered),
            Err(fault) => (name::shown(raw.names()), State::Misnamed(fault)),
        };
        self.names = self.names.saturating_add(path.len());
        if self.names > MAX_NAMES {
            return Err(Fault::TooManyNames(MAX_NAMES));
        }
        self.totals.add(raw.kind, raw.size);
        let entry = Entry {
            path,
            kind: raw.kind,
            size: raw.size,
            date: raw.date,
            executable: raw.executable,
        };
        self.items.push(Item {
            entry,
            state,
            tries: 0,
        });
        Ok(())
    }

    /// That was all of it, says the sender.
    pub(super) fn end(&mut self, said: Totals) -> Result<(), Fault> {
        let has = self.totals;
        for (what, said, has) in [
            ("files", said.files.into(), has.files.into()),
            ("folders", said.folders.into(), has.folders.into()),
            ("bytes", said.bytes, has.bytes),
        ] {
            if said != has {
                return Err(Fault::Miscounted { what, said, has });
            }
        }
        let indexed = (0..).zip(&self.items);
        let fit = indexed.filter(|(_, item)| item.state == State::Offered);
        for index in name::repeated(fit.map(|(index, item)| (index, &*item.entry.path))) {
            if let Some(item) = self.get_mut(index) {
                item.state = State::Misnamed(NameFault::Twice);
            }
        }
        Ok(())
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn get(&self, index: u32) -> Option<&Item> {
        self.items.get(place(index))
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Item> {
        self.items.get_mut(place(index))
    }

    /// Each entry, with what is wrong with its name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Entry, Option<NameFault>)> {
        self.items.iter().map(|item| match item.state {
            State::Misnamed(fault) => (&item.entry, Some(fault)),
            State::Offered
            | State::Looked
            | State::Wanted
            | State::Getting
            | State::Dropping
            | State::Ended
            | State::Done
            | State::Skipped
            | State::Failed => (&item.entry, None),
        })
    }

    /// Nothing more happens to an entry, which is done, skipped or failed.
    pub(super) fn close(&mut self, index: u32, state: State) {
        let Some(item) = self.get_mut(index) else {
            return;
        };
        item.state = state;
        match state {
            State::Done => self.outcome.done += 1,
            State::Skipped => self.outcome.skipped += 1,
            State::Failed => self.outcome.failed += 1,
            State::Offered
            | State::Misnamed(_)
            | State::Looked
            | State::Wanted
            | State::Getting
            | State::Dropping
            | State::Ended => {}
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether nothing more happens to any entry.
    pub(super) fn is_settled(&self) -> bool {
        self.outcome.entries() == self.totals.entries()
    }
}
