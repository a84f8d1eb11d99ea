//! Service discovery: what an entity is and supports (XEP-0030 2.5.0 §3).

use crate::element::Element;
use crate::payload_error::{PayloadError, required};

/// The namespace and disco feature.
pub const NS: &str = crate::ns::DISCO_INFO;

/// `<query/>` in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The part of the entity in question.
    pub node: Option<String>,
}

impl Query {
    /// Reads `<query/>`.
    ///
    /// # Errors
    ///
    /// Another element.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "query", NS)?;
        Ok(Self {
            node: element.attr("node").map(str::to_owned),
        })
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        query(self.node.as_deref())
    }
}

/// `<query/>` in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The node in question.
    pub node: Option<String>,
    /// What the entity is; XEP-0030 requires at least one.
    pub identities: Vec<Identity>,
    /// What the entity supports: names of features.
    pub features: Vec<String>,
}

/// `<identity/>`: one thing that an entity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Such as `client`.
    pub category: String,
    /// Such as `pc`.
    pub type_: String,
    /// A human-readable name.
    pub name: Option<String>,
}

impl Info {
    /// Whether the entity supports this feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }

    /// Reads `<query/>`. Children of other kinds, such as data forms, are ignored.
    ///
    /// # Errors
    ///
    /// Another element, and identities or features that lack an attribute.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "query", NS)?;
        let mut info = Self {
            node: element.attr("node").map(str::to_owned),
            ..Self::default()
        };
        for child in element.elements() {
            if child.is("identity", NS) {
                info.identities.push(Identity {
                    category: required(child, "identity", "category")?.to_owned(),
                    type_: required(child, "identity", "type")?.to_owned(),
                    name: child.attr("name").map(str::to_owned),
                });
            } else if child.is("feature", NS) {
                info.features
                    .push(required(child, "feature", "var")?.to_owned());
            }
        }
        Ok(info)
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let mut element = query(self.node.as_deref());
        for identity in &self.identities {
            let mut child = Element::new("identity", NS)
                .with_attr("category", &identity.category)
                .with_attr("type", &identity.type_);
            if let Some(name) = &identity.name {
                child = child.with_attr("name", name);
            }
            element = element.with_child(child);
        }
        for feature in &self.features {
            element = element.with_child(Element::new("feature", NS).with_attr("var", feature));
        }
        element
    }
}

fn query(node: Option<&str>) -> Element {
    let element = Element::new("query", NS);
    match node {
        Some(node) => element.with_attr("node", node),
        None => element,
    }
}
