//! Tests of stanza errors.

use xtls_stanza::{Condition, Element, ErrorType, StanzaError, ns};

fn read(document: &str) -> StanzaError {
    StanzaError::read(&Element::read(document.as_bytes(), ns::CLIENT).unwrap())
}

fn is(document: &str, kind: ErrorType, condition: Condition) {
    assert_eq!(
        read(document),
        StanzaError::new(kind, condition),
        "{document}"
    );
}

#[test]
fn an_error_without_anything_is_undefined() {
    is("<error/>", ErrorType::Cancel, Condition::UndefinedCondition);
    is(
        "<error type='wait'/>",
        ErrorType::Wait,
        Condition::UndefinedCondition,
    );
    is(
        "<error code='999'/>",
        ErrorType::Cancel,
        Condition::UndefinedCondition,
    );
}

#[test]
fn a_missing_or_unknown_type_is_the_default_of_the_condition() {
    is(
        "<error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ErrorType::Auth,
        Condition::Forbidden,
    );
    is(
        "<error type='fatal'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ErrorType::Cancel,
        Condition::Gone,
    );
}

#[test]
fn a_condition_that_does_not_exist_is_undefined() {
    is(
        "<error type='auth'><payment-required xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ErrorType::Auth,
        Condition::UndefinedCondition,
    );
}

#[test]
fn a_condition_in_another_namespace_is_the_application_s() {
    let error = read("<error type='cancel'><conflict/></error>");
    assert_eq!(error.condition, Condition::UndefinedCondition);
    assert!(error.app.unwrap().is("conflict", ns::CLIENT));
}

#[test]
fn the_condition_counts_more_than_the_code() {
    is(
        "<error code='404'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ErrorType::Cancel,
        Condition::Conflict,
    );
}

#[test]
fn codes_of_old_are_understood() {
    for (code, kind, condition) in [
        ("302", ErrorType::Modify, Condition::Redirect),
        ("400", ErrorType::Modify, Condition::BadRequest),
        ("401", ErrorType::Auth, Condition::NotAuthorized),
        ("403", ErrorType::Auth, Condition::Forbidden),
        ("404", ErrorType::Cancel, Condition::ItemNotFound),
        ("405", ErrorType::Cancel, Condition::NotAllowed),
        ("406", ErrorType::Modify, Condition::NotAcceptable),
        ("407", ErrorType::Auth, Condition::RegistrationRequired),
        ("408", ErrorType::Wait, Condition::RemoteServerTimeout),
        ("409", ErrorType::Cancel, Condition::Conflict),
        ("500", ErrorType::Wait, Condition::InternalServerError),
        ("501", ErrorType::Cancel, Condition::FeatureNotImplemented),
        ("502", ErrorType::Wait, Condition::ServiceUnavailable),
        ("503", ErrorType::Cancel, Condition::ServiceUnavailable),
        ("504", ErrorType::Wait, Condition::RemoteServerTimeout),
        ("510", ErrorType::Cancel, Condition::ServiceUnavailable),
    ] {
        is(&format!("<error code='{code}'/>"), kind, condition);
    }
}

#[test]
fn the_bare_text_of_old_is_understood() {
    let error = read("<error code='404'> Not Found\n</error>");
    assert_eq!(error.text.as_deref(), Some("Not Found"));
    let error = read(
        "<error type='cancel'>\n<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone>\n</error>",
    );
    assert_eq!((error.condition, error.text), (Condition::Gone, None));
}

#[test]
fn all_conditions_and_types_come_back() {
    assert_eq!(Condition::ALL.len(), 22);
    for condition in Condition::ALL {
        assert_eq!(Condition::from_name(condition.name()), Some(condition));
        for kind in ErrorType::ALL {
            assert_eq!(ErrorType::from_name(kind.name()), Some(kind));
            let error = StanzaError::new(kind, condition)
                .with_text("it's <gone> & \u{1}over")
                .with_app(Element::new("a", "u"));
            let mut out = Vec::new();
            error.to_element().write(ns::CLIENT, &mut out);
            let read = StanzaError::read(&Element::read(&out, ns::CLIENT).unwrap());
            assert_eq!(read.text.as_deref(), Some("it's <gone> & \u{FFFD}over"));
            assert_eq!(
                StanzaError {
                    text: error.text.clone(),
                    ..read
                },
                error
            );
        }
    }
}

/// RFC 6120 §8.3.3.1 to §8.3.3.22.
#[test]
fn the_default_types() {
    let of = |kind: ErrorType| {
        Condition::ALL
            .into_iter()
            .filter(|c| c.default_type() == kind)
            .map(Condition::name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        of(ErrorType::Modify),
        "bad-request jid-malformed not-acceptable policy-violation redirect"
    );
    assert_eq!(
        of(ErrorType::Auth),
        "forbidden not-authorized registration-required subscription-required"
    );
    assert_eq!(
        of(ErrorType::Wait),
        "recipient-unavailable remote-server-timeout resource-constraint unexpected-request"
    );
    assert_eq!(
        of(ErrorType::Cancel),
        "conflict feature-not-implemented gone internal-server-error item-not-found not-allowed remote-server-not-found service-unavailable undefined-condition"
    );
    assert_eq!(of(ErrorType::Continue), "");
}

#[test]
fn it_is_shown_without_control_characters() {
    let error = StanzaError::new(ErrorType::Wait, Condition::ResourceConstraint)
        .with_text("\u{1B}[2Jfull\n");
    assert_eq!(
        error.to_string(),
        "resource-constraint (wait): \\u{1b}[2Jfull\\n"
    );
}
