//! Names that only XMPP has.

use rcgen::{GeneralSubtree, NameConstraints};

use super::*;

/// A subjectAltName with one name that only XMPP has, as RFC 6120 and RFC 4985 write it.
fn other_name(oid: u8, tag: u8, text: &str) -> CertificateParams {
    let wrap = |tag: u8, content: &[u8]| {
        let len = u8::try_from(content.len()).unwrap();
        assert!(len < 128);
        [&[tag, len], content].concat()
    };
    let oid = [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 8, oid];
    let name = [&oid[..], &wrap(0xa0, &wrap(tag, text.as_bytes()))].concat();
    let content = wrap(0x30, &wrap(0xa0, &name));
    let mut params = params(&[]);
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], content)];
    params
}

const UTF8: u8 = 0x0c;
const IA5: u8 = 0x16;

fn xmpp_addr(text: &str) -> CertificateParams {
    other_name(5, UTF8, text)
}

fn dns_srv(text: &str) -> CertificateParams {
    other_name(7, IA5, text)
}

#[test]
fn names_that_only_xmpp_has_are_for_their_domain_and_for_clients_only() {
    for (params, name) in [
        (xmpp_addr("example.net"), "example.net"),
        (xmpp_addr("juliet@example.org"), "juliet@example.org"),
        (xmpp_addr("*.org"), "*.org"),
        (
            dns_srv("_xmpp-server.example.org"),
            "_xmpp-server.example.org",
        ),
        (
            dns_srv("_xmpp-client.example.net"),
            "_xmpp-client.example.net",
        ),
        (dns_srv("example.org"), "example.org"),
        (dns_srv("_xmpp-client.*.org"), "_xmpp-client.*.org"),
        // An address for mail.
        (other_name(9, UTF8, "example.org"), "example.org"),
    ] {
        assert_eq!(
            signed(DOMAIN, &params),
            Err(format!("it is for {name}, not for example.org"))
        );
    }
    // Bytes are no text.
    assert_eq!(
        signed(DOMAIN, &other_name(5, 0x04, "example.org")),
        refused("it is for no one, not for example.org")
    );
}

#[test]
fn names_that_only_xmpp_has_are_accepted() {
    for (domain, params) in [
        (DOMAIN, xmpp_addr("example.org")),
        (DOMAIN, xmpp_addr("Example.ORG")),
        (DOMAIN, dns_srv("_xmpp-client.example.org")),
        (DOMAIN, dns_srv("_XMPP-Client.Example.org")),
        ("bücher.example", xmpp_addr("bücher.example")),
        (
            "bücher.example",
            dns_srv("_xmpp-client.xn--bcher-kva.example"),
        ),
    ] {
        assert_eq!(signed(domain, &params), Ok(()), "{domain}");
    }
    let mut own = xmpp_addr(DOMAIN);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = Signer::root(own);
    let itself = [own.certificate.clone()];
    assert_eq!(verdict(&own.trusted(DOMAIN), DOMAIN, &itself), Ok(()));
    assert!(verdict(&own.trusted("a.example"), "a.example", &itself).is_err());
    // The name is right, and nothing else.
    let stranger = Signer::root(authority("Stranger")).sign(&xmpp_addr(DOMAIN));
    assert!(verdict(&own.trusted(DOMAIN), DOMAIN, &[stranger]).is_err());
}

/// Constraints that are written for domains do not mention the names that only XMPP has, so who is held to them could give
/// any of these.
#[test]
fn an_authority_with_name_constraints_gives_no_names_that_only_xmpp_has() {
    let root = Signer::root(authority("Root"));
    let mut constrained = authority("Constrained");
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("a.example".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let constrained = root.below(constrained);
    let verdict = |domain, params| {
        let chain = [constrained.sign(&params), constrained.certificate.clone()];
        verdict(&root.trusted(domain), domain, &chain)
    };
    assert!(verdict(DOMAIN, xmpp_addr(DOMAIN)).is_err());
    assert!(verdict(DOMAIN, dns_srv("_xmpp-client.example.org")).is_err());
    assert_eq!(
        verdict(DOMAIN, params(&[DOMAIN])),
        refused("an authority above it may not speak for all of its names")
    );
    assert_eq!(verdict("a.example", params(&["a.example"])), Ok(()));
}
