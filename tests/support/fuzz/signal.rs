//! The plaintext of a signal: what is read and written is read as the same, and what an application puts in a string stays there.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use xtls_stanza::path::{
    Candidate, CandidateKind, Cid, Hints, MAX_CANDIDATES, MAX_SIGNAL, SIGNAL_STEP, Sealed, Signal,
    Takes, Why,
};
use xtls_stanza::{Address, Element, ibb, ns, s5b};

use super::random::Random;

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    raw(input)?;
    let mut plain = input.to_vec();
    plain.resize(input.len().max(1).next_multiple_of(SIGNAL_STEP), b' ');
    raw(&plain)?;
    strings(input)?;
    sealed(input)
}

/// The input as a plaintext.
fn raw(plain: &[u8]) -> Result<(), String> {
    let Ok(signal) = Signal::read(plain) else {
        return Ok(());
    };
    if plain.is_empty() || plain.len() > MAX_SIGNAL || !plain.len().is_multiple_of(SIGNAL_STEP) {
        return Err(format!("{} bytes are a signal", plain.len()));
    }
    if let Signal::Hints(hints) = &signal {
        let cids: BTreeSet<Cid> = hints.candidates.iter().map(|one| one.cid).collect();
        if cids.len() != hints.candidates.len() || cids.len() > MAX_CANDIDATES {
            return Err(format!("the candidates are {:?}", hints.candidates));
        }
    }
    let written = written(&signal)?;
    let shown = || written.escape_ascii();
    match Signal::read(&written) {
        Ok(again) if again == signal => Ok(()),
        Ok(again) => cut_down(&signal, &again),
        Err(error) => Err(format!("{} is written, and read as {error}", shown())),
    }
}

fn written(signal: &Signal) -> Result<Vec<u8>, String> {
    let written = signal.write();
    let fits = written.len() <= MAX_SIGNAL && written.len().is_multiple_of(SIGNAL_STEP);
    if !fits || written.is_empty() {
        return Err(format!("{} bytes are written", written.len()));
    }
    Ok(written)
}

/// What is read may be written longer, and then its last candidates are left out.
fn cut_down(signal: &Signal, again: &Signal) -> Result<(), String> {
    if let (Signal::Hints(hints), Signal::Hints(fewer)) = (signal, again) {
        let mut whole = fewer.clone();
        whole.candidates.clone_from(&hints.candidates);
        if whole == *hints && hints.candidates.starts_with(&fewer.candidates) {
            return Ok(());
        }
    }
    Err(format!("{signal:?} is read again as {again:?}"))
}

/// Pieces of the input as an application's strings.
fn strings(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let mut random = Random::of(input);
    let mut candidates = Vec::new();
    for (n, piece) in text.split([' ', '\n']).take(MAX_CANDIDATES).enumerate() {
        let port = NonZeroU16::new(5000).ok_or("a port")?;
        let kind = match random.below(3) {
            0 => ibb::Sid::new(piece)
                .ok()
                .map(|sid| CandidateKind::Stream { sid }),
            1 => s5b::Host::new(piece).map(|host| CandidateKind::Direct { host, port }),
            _ => {
                let sid = s5b::Sid::new(piece).ok();
                let host = s5b::Host::new(piece);
                let jid = Address::new(piece).ok();
                let parts = sid.zip(host).zip(jid);
                parts.map(|((sid, host), jid)| CandidateKind::Relay {
                    jid,
                    host,
                    port,
                    sid,
                })
            }
        };
        if let (Some(kind), Some(cid)) = (kind, Cid::new(&format!("c{n}"))) {
            let priority = u32::try_from(random.below(1 << 24)).unwrap_or_default();
            candidates.push(Candidate {
                cid,
                kind,
                priority,
            });
        }
    }
    let signal = Signal::Hints(Hints {
        attempt: random.next(),
        why: Why::Lost,
        takes: Takes::Any,
        candidates,
    });
    let written = written(&signal)?;
    match Signal::read(&written) {
        Ok(again) if again == signal => Ok(()),
        Ok(again) => cut_down(&signal, &again),
        Err(error) => Err(format!("{}: {error}", written.escape_ascii())),
    }
}

/// The input as a record, and as an element around one.
fn sealed(input: &[u8]) -> Result<(), String> {
    let sid = ibb::Sid::new("s1").map_err(|error| error.to_string())?;
    let sealed = Sealed {
        sid,
        n: Random::of(input).next(),
        record: input.to_vec().into(),
    };
    let mut out = Vec::new();
    sealed.to_element().write(ns::CLIENT, &mut out);
    let element = Element::read(&out, ns::CLIENT).map_err(|error| error.to_string())?;
    if Sealed::read(&element).as_ref() != Ok(&sealed) {
        return Err(format!("{} is read otherwise", out.escape_ascii()));
    }
    if let Ok(element) = Element::read(input, ns::CLIENT)
        && let Ok(sealed) = Sealed::read(&element)
        && Sealed::read(&sealed.to_element()).as_ref() != Ok(&sealed)
    {
        return Err("another record is read again".to_owned());
    }
    Ok(())
}
