//! What a verification that has failed says.

use xtls_client::uplink::normalise;

use super::*;
use crate::failure::Code as Exit;

#[test]
fn a_verification_that_fails_names_the_way_out() {
    let peer = normalise("juliet@capulet.example/xtls").unwrap();
    for (why, code, step) in [
        (
            Broken::Here(Reason::Mismatch),
            Exit::Identity,
            "someone may be intercepting you",
        ),
        (
            Broken::Here(Reason::Locked),
            Exit::Identity,
            "locked for a day",
        ),
        (
            Broken::There(Reason::Locked),
            Exit::Peer,
            "locked for a day",
        ),
    ] {
        let failure = failure(&peer, &why, Some(3), &Suggest::default());
        assert_eq!(failure.code, code, "{why}");
        assert!(failure.what.contains("3 of 3 attempts"), "{}", failure.what);
        let hint = failure.hint.unwrap();
        assert!(hint.contains(step), "{hint}");
        assert!(
            hint.contains("xtls trust pin juliet@capulet.example"),
            "{hint}"
        );
    }
}
