//! The fuzz targets: properties that hold for arbitrary bytes, with rxml and expat as references.
//!
//! libFuzzer calls them from `tests/fuzz`, and the plain engine here calls them from anywhere.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod base64;
mod by_expat;
mod by_rxml;
mod corpus;
mod cutting;
mod differential;
mod framer;
mod ibb;
mod judges;
mod link;
mod mutate;
mod notation;
mod parties;
mod path;
mod random;
mod s5b;
mod signal;
mod stanza;

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use self::judges::Judges;
use self::mutate::Mutator;

/// The fuzz targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any chunking of a stream gives the same frames, which are what rxml and expat see in it.
    Framer,
    /// What is written is read as the same value, and strings change no structure.
    Stanza,
    /// rxml and expat accept what the strict reader accepts, with the same tree.
    Differential,
    /// The codec, compared with a slow and obvious one.
    Base64,
    /// Two muxes with any sequence of calls, faults and lies: bytes out are bytes in, each request has one answer,
    /// everything ends.
    Ibb,
    /// A stream with a server that says anything: any cutting gives the same, and an error is the end.
    Link,
    /// A component with a server, and a server's end with a client, that say anything: the same holds.
    Parties,
    /// A wire with a peer that says anything on a leg: any cutting gives the same, and nothing beyond the limits is held. A route
    /// with a peer, a server and an owner who do anything: little is made, and nothing beyond the policy.
    Path,
    /// What a signal is read as, it is written as; and strings change no structure.
    Signal,
    /// Both sides of SOCKS5 with another side that says anything: any cutting gives the same, and the end is final.
    S5b,
}

/// An input that breaks a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  input:  {}", self.what, self.input.escape_ascii())
    }
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 10] = [
        Self::Framer,
        Self::Stanza,
        Self::Differential,
        Self::Base64,
        Self::Ibb,
        Self::Link,
        Self::Parties,
        Self::Path,
        Self::Signal,
        Self::S5b,
    ];

    /// Its name on the command line, which is that of its corpus.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framer => "framer",
            Self::Stanza => "stanza",
            Self::Differential => "differential",
            Self::Base64 => "base64",
            Self::Ibb => "ibb",
            Self::Link => "link",
            Self::Parties => "parties",
            Self::Path => "path",
            Self::Signal => "signal",
            Self::S5b => "s5b",
        }
    }

    /// The target with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// The function that libFuzzer calls: references are kept between calls, and asked for their remaining answers when
    /// the process ends.
    ///
    /// # Panics
    /// There is a finding. Its input, which may be from some calls ago, is in the folder that `XTLS_FINDINGS` names.
    pub fn libfuzzer(self, input: &[u8]) {
        thread_local! {
            static CHECKER: RefCell<Option<Last>> = const { RefCell::new(None) };
        }
        /// Reports at the end what was still being asked.
        struct Last(Checker);
        impl Drop for Last {
            fn drop(&mut self) {
                if let Err(finding) = self.0.finish() {
                    eprintln!("{finding}\n  kept as {}", keep(&finding).display());
                    std::process::abort();
                }
            }
        }
        CHECKER.with_borrow_mut(|checker| {
            let Last(checker) = checker.get_or_insert_with(|| Last(Checker::start(self)));
            if let Err(finding) = checker.check(input) {
                panic!("{finding}\n  kept as {}", keep(&finding).display());
            }
        });
    }
}

/// Runs one target on inputs.
#[expect(missing_debug_implementations, reason = "a running program")]
pub struct Checker {
    target: Target,
    judges: Option<Judges>,
}

impl Checker {
    /// Starts the references, if the target needs them.
    ///
    /// # Panics
    /// The program around expat cannot be built.
    #[must_use]
    pub fn start(target: Target) -> Self {
        let judges = match target {
            Target::Base64
            | Target::Ibb
            | Target::Link
            | Target::Parties
            | Target::Path
            | Target::Signal
            | Target::S5b => None,
            Target::Framer | Target::Stanza | Target::Differential => Some(Judges::start()),
        };
        Self { target, judges }
    }

    /// Checks one input. expat's answer about it may come with a later one.
    ///
    /// # Errors
    /// A property is broken, by this input or by one before.
    ///
    /// # Panics
    /// The code under test panics.
    pub fn check(&mut self, input: &[u8]) -> Result<(), Finding> {
        let checked = match (self.target, &mut self.judges) {
            (Target::Framer, Some(judges)) => framer::check(input, judges),
            (Target::Stanza, Some(judges)) => stanza::check(input, judges),
            (Target::Differential, Some(judges)) => differential::check(input, judges),
            (Target::Ibb, _) => ibb::check(input),
            (Target::Link, _) => link::check(input),
            (Target::Parties, _) => parties::check(input),
            (Target::Path, _) => path::check(input),
            (Target::Signal, _) => signal::check(input),
            (Target::S5b, _) => s5b::check(input),
            (_, _) => base64::check(input),
        };
        checked.map_err(|what| Finding {
            input: input.to_vec(),
            what,
        })?;
        match &mut self.judges {
            Some(judges) if judges.is_full() => judges.finish(),
            _ => Ok(()),
        }
    }

    /// Asks for the remaining answers about all inputs so far.
    ///
    /// # Errors
    /// A property is broken by one of them.
    pub fn finish(&mut self) -> Result<(), Finding> {
        self.judges.as_mut().map_or(Ok(()), Judges::finish)
    }

    /// Like [`check`](Self::check), with a panic as a finding.
    fn caught(&mut self, input: &[u8]) -> Result<(), Finding> {
        catch_unwind(AssertUnwindSafe(|| self.check(input))).unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(Finding {
                input: input.to_vec(),
                what: format!("a panic: {}", what.unwrap_or_default()),
            })
        })
    }
}

/// Checks the corpus, then inputs made from it for as long as `go_on` returns true, which is called before each with
/// its number. Returns how many were checked.
///
/// # Errors
/// The first finding.
///
/// # Panics
/// The corpus cannot be read.
pub fn plain(
    target: Target,
    corpora: &Path,
    seed: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<u64, Finding> {
    let corpus = corpus::read(&corpora.join(target.name())).expect("a folder of inputs");
    let corpus: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let mut checker = Checker::start(target);
    let mut count = 0;
    for input in &corpus {
        checker.caught(input)?;
        count += 1;
    }
    let mut mutator = Mutator::new(seed, &corpus, 1024);
    while go_on(count) {
        checker.caught(&mutator.input())?;
        count += 1;
    }
    checker.finish()?;
    Ok(count)
}

/// Writes the input of a finding to the folder that `XTLS_FINDINGS` names, or to the current one. Returns the path.
///
/// # Panics
/// The file cannot be written.
pub fn keep(finding: &Finding) -> PathBuf {
    let folder = std::env::var_os("XTLS_FINDINGS").map_or_else(PathBuf::new, PathBuf::from);
    let name = format!("finding-{:016x}", random::Random::of(&finding.input).next());
    let path = folder.join(name);
    std::fs::write(&path, &finding.input).expect("a file for the finding");
    path
}
