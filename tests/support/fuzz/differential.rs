//! The strict reader, compared with rxml and expat: they accept what we accept, with the same tree; what both accept
//! and we refuse is of a documented kind.

use xtls_stanza::{Element, Rule};

use super::judges::Judges;

pub(super) fn check(input: &[u8], judges: &mut Judges) -> Result<(), String> {
    match Element::read(input, "") {
        Ok(element) => judges.accept(input, input.to_vec(), &element)?,
        Err(error) => {
            if error.at > input.len() {
                return Err(format!("{error}: past the end"));
            }
            if !stricter(error.rule) {
                judges.refuse(input, input, || error.to_string());
            }
        }
    }
    Ok(())
}

/// Whether both others may accept documents that break this rule, with the same tree: what RFC 6120 forbids in a
/// stanza, what parsers read differently in other places, and our limits.
pub(super) fn stricter(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::Declaration
            | Rule::TextOutside
            | Rule::CarriageReturn
            | Rule::Depth
            | Rule::Attributes
            | Rule::InScope
            | Rule::NamespaceLength
    )
}
