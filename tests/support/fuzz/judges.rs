//! rxml and expat as references: rxml is asked at once, expat in batches.

use std::mem;

use xtls_stanza::Element;

use super::Finding;
use super::by_expat::Expat;
use super::by_rxml;
use super::notation::{self, Order, readable};

/// The most documents that wait for expat.
const BATCH: usize = 1 << 14;
/// The most bytes of these documents.
const BATCH_BYTES: usize = 1 << 22;

/// What expat is expected to say about a document.
enum Claim {
    /// It has this tree.
    Tree(Vec<u8>),
    /// It is refused, or has a tree that differs from this one of rxml's, because we refuse it for the reason given.
    Refused { sorted: Vec<u8>, why: String },
}

struct Asked {
    /// What the fuzzer generated.
    input: Vec<u8>,
    document: Vec<u8>,
    claim: Claim,
}

/// Both references.
pub(super) struct Judges {
    expat: Expat,
    asked: Vec<Asked>,
    bytes: usize,
}

impl Judges {
    pub(super) fn start() -> Self {
        Self {
            expat: Expat::build(),
            asked: Vec::new(),
            bytes: 0,
        }
    }

    /// Asserts that both accept `document` and see `element`.
    pub(super) fn accept(
        &mut self,
        input: &[u8],
        document: Vec<u8>,
        element: &Element,
    ) -> Result<(), String> {
        let tree = notation::tree(element, Order::Kept);
        let sorted = notation::tree(element, Order::Sorted);
        self.accept_tree(input, document, tree, &sorted)
    }

    /// The same for a tree in its notation, and for one with its attributes sorted.
    pub(super) fn accept_tree(
        &mut self,
        input: &[u8],
        document: Vec<u8>,
        tree: Vec<u8>,
        sorted: &[u8],
    ) -> Result<(), String> {
        let theirs = by_rxml::tree(&document);
        if theirs.as_deref() != Some(sorted) {
            return Err(differ("rxml", &document, sorted, theirs.as_deref()));
        }
        if tree != sorted {
            let order = by_rxml::order(&document);
            if order.as_deref() != Some(&names(&tree)) {
                return Err(differ(
                    "rxml's order",
                    &document,
                    &names(&tree),
                    order.as_deref(),
                ));
            }
        }
        self.ask(input, document, Claim::Tree(tree));
        Ok(())
    }

    /// Asserts that not both accept `document` with the same tree, since we refuse it.
    pub(super) fn refuse(&mut self, input: &[u8], document: &[u8], why: impl FnOnce() -> String) {
        if let Some(sorted) = by_rxml::tree(document) {
            let why = why();
            self.ask(input, document.to_vec(), Claim::Refused { sorted, why });
        }
    }

    /// Whether expat has something to answer, and should.
    pub(super) fn is_full(&self) -> bool {
        self.asked.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// Waits for expat's answers to everything that was asked.
    pub(super) fn finish(&mut self) -> Result<(), Finding> {
        if self.asked.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let asked = mem::take(&mut self.asked);
        let trees = self.expat.trees(asked.iter().map(|a| &*a.document));
        assert_eq!(trees.len(), asked.len(), "expat answers each document");
        for (asked, theirs) in asked.into_iter().zip(trees) {
            let fault = match asked.claim {
                Claim::Tree(tree) if theirs.as_ref() == Some(&tree) => None,
                Claim::Tree(tree) => {
                    Some(differ("expat", &asked.document, &tree, theirs.as_deref()))
                }
                Claim::Refused { sorted, why } => theirs
                    .filter(|theirs| same_but_order(theirs, &sorted))
                    .map(|_| {
                        let document = asked.document.escape_ascii();
                        format!("refused here ({why}), accepted by rxml and expat: {document}")
                    }),
            };
            if let Some(what) = fault {
                let input = asked.input;
                return Err(Finding { input, what });
            }
        }
        Ok(())
    }

    fn ask(&mut self, input: &[u8], document: Vec<u8>, claim: Claim) {
        self.bytes += document.len();
        let input = input.to_vec();
        self.asked.push(Asked {
            input,
            document,
            claim,
        });
    }
}

fn differ(judge: &str, document: &[u8], ours: &[u8], theirs: Option<&[u8]>) -> String {
    let theirs = theirs.map_or_else(|| "nothing".to_owned(), readable);
    let (document, ours) = (document.escape_ascii(), readable(ours));
    format!("{judge} differs about {document}\n  ours:   {ours}\n  theirs: {theirs}")
}

/// The names of elements and attributes, as [`by_rxml::order`] lists them.
fn names(tree: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = tree;
    while let Some(at) = rest.iter().position(|b| matches!(b, 1 | 3)) {
        let (mark, after) = (rest[at], &rest[at + 1..]);
        out.push(mark);
        let end = |from: &[u8]| from.iter().position(|&b| b < 7).unwrap_or(from.len());
        let name = after.get(end(after) + 1..).unwrap_or_default();
        if mark == 3 {
            out.extend_from_slice(&name[..end(name)]);
        }
        rest = after;
    }
    out
}

/// Whether a tree differs in more than the order of attributes.
fn same_but_order(tree: &[u8], sorted: &[u8]) -> bool {
    let mut out = Vec::with_capacity(tree.len());
    let mut rest = tree;
    while let Some(from) = rest.iter().position(|&b| b == 3) {
        let to = rest.iter().skip(from).position(|&b| b == 5);
        let to = to.map_or(rest.len(), |to| from + to);
        // Each is namespace, 2, name, 4, value.
        let parts = |attribute: &[u8]| -> Vec<Vec<u8>> {
            let pieces = attribute.split(|b| matches!(b, 2 | 4));
            pieces.map(<[u8]>::to_vec).collect()
        };
        let mut attributes: Vec<&[u8]> = rest[from + 1..to].split(|&b| b == 3).collect();
        attributes.sort_by_key(|attribute| parts(attribute));
        out.extend_from_slice(&rest[..from]);
        for attribute in attributes {
            out.push(3);
            out.extend_from_slice(attribute);
        }
        rest = &rest[to..];
    }
    out.extend_from_slice(rest);
    out == sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the references with the claim of this tree.
    fn claimed(document: &[u8], tree: &[u8]) -> Result<(), String> {
        let mut judges = Judges::start();
        judges.accept_tree(b"", document.to_vec(), tree.to_vec(), tree)?;
        judges.finish().map_err(|finding| finding.what)
    }

    #[test]
    fn a_true_claim_is_confirmed() {
        let tree = b"\x01u\x02a\x03\x02b\x041\x03u\x02c\x04\x05x\x01u\x02d\x05\x06\x06";
        let document = b"<p:a xmlns='u' xmlns:p='u' b='1' p:c=''>x<d/></p:a>";
        assert_eq!(claimed(document, tree), Ok(()));
    }

    #[test]
    fn a_false_claim_is_noticed_by_rxml() {
        let other = claimed(b"<a>x</a>", b"\x01\x02a\x05y\x06").unwrap_err();
        assert!(other.starts_with("rxml differs"), "{other}");
        assert!(claimed(b"<a>", b"\x01\x02a\x05\x06").is_err());
    }

    /// rxml accepts these and expat does not.
    #[test]
    fn a_false_claim_is_noticed_by_expat() {
        for document in [
            "<a xmlns='' xmlns=''/>",
            "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        ] {
            let tree = b"\x01\x02a\x05\x06";
            let refused = claimed(document.as_bytes(), tree).unwrap_err();
            assert!(refused.starts_with("expat differs"), "{refused}");
        }
    }

    /// Only expat reports the order, and rxml that of the names in a separate call.
    #[test]
    fn attributes_in_another_order_are_noticed() {
        let (document, right) = (
            b"<a c='1' b='2'/>",
            b"\x01\x02a\x03\x02c\x041\x03\x02b\x042\x05\x06",
        );
        let sorted = b"\x01\x02a\x03\x02b\x042\x03\x02c\x041\x05\x06";
        let mut judges = Judges::start();
        let claim = |judges: &mut Judges, tree: &[u8]| {
            judges.accept_tree(b"", document.to_vec(), tree.to_vec(), sorted)
        };
        claim(&mut judges, right).unwrap();
        judges.finish().unwrap();
        let wrong = claim(&mut judges, sorted).and_then(|()| judges.finish().map_err(|f| f.what));
        assert!(wrong.unwrap_err().starts_with("expat differs"));
    }

    #[test]
    fn a_refusal_of_what_both_accept_is_noticed() {
        let mut judges = Judges::start();
        judges.refuse(b"", b"<a c='1' b='2'>x</a>", || "no reason".to_owned());
        let finding = judges.finish().unwrap_err();
        assert!(finding.what.contains("no reason"), "{finding}");
        // One of them refuses it, too.
        judges.refuse(b"", b"<a xmlns='' xmlns=''/>", || "twice".to_owned());
        judges.refuse(b"", b"<a", || "no end".to_owned());
        assert_eq!(judges.finish(), Ok(()));
    }

    #[test]
    fn a_finding_names_the_input_that_it_comes_from() {
        let mut judges = Judges::start();
        let tree = b"\x01\x02a\x05\x06";
        judges
            .accept_tree(b"one", b"<a/>".to_vec(), tree.to_vec(), tree)
            .unwrap();
        judges.refuse(b"two", b"<a/>", String::new);
        judges
            .accept_tree(b"three", b"<a/>".to_vec(), tree.to_vec(), tree)
            .unwrap();
        assert_eq!(judges.finish().unwrap_err().input, b"two");
    }
}
