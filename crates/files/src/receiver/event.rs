//! What a receiver tells its owner.

use crate::content::{Block, Hash};
use crate::fault::Fault;
use crate::name::NameFault;
use crate::reason::Told;

/// What a [`Receiver`](super::Receiver) has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiverEvent {
    /// The offer is complete: [`totals`](super::Receiver::totals), [`entries`](super::Receiver::entries). [`accept`](super::Receiver::accept) or
    /// [`refuse`](super::Receiver::refuse) it.
    Offered,
    /// Look what there is of an entry, and answer with [`made`](super::Receiver::made) if it is a folder, with
    /// [`want`](super::Receiver::want) if it is a file, or with [`skip`](super::Receiver::skip). Several may be open at a time.
    Look {
        /// Which entry.
        index: u32,
    },
    /// An entry was skipped because of its name.
    Misnamed {
        /// Which entry.
        index: u32,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A file that was asked for begins.
    Begin {
        /// Which entry.
        index: u32,
        /// Where: what was asked for, or 0 if what is there is of something else.
        offset: u64,
    },
    /// The next piece of it. Say [`stored`](super::Receiver::stored) once it is written.
    Block {
        /// Which entry.
        index: u32,
        /// The piece.
        block: Block,
    },
    /// That was the whole file. Answer with [`done`](super::Receiver::done) if the hash is right, [`want`](super::Receiver::want) to have it
    /// again, [`skip`](super::Receiver::skip) if it turns out to be there, or [`fail`](super::Receiver::fail).
    End {
        /// Which entry.
        index: u32,
        /// What the sender says it hashes to.
        hash: Hash,
    },
    /// The sender could not send a file.
    Failed {
        /// Which entry.
        index: u32,
        /// Why.
        told: Told,
    },
    /// Nothing is left to be done with any entry. Say [`complete`](super::Receiver::complete) when everything is in its place.
    Settled,
    /// The sender knows that everything is complete. Nothing follows.
    Bye,
    /// The sender gave up. Nothing follows.
    Aborted(Told),
    /// The sender broke the protocol. Nothing follows.
    Broken(Fault),
}
