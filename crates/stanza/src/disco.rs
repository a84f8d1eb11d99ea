//! Service discovery: what an entity is and supports (XEP-0030 2.5.0 §3), and what belongs to it (§4).

use crate::address::Address;
use crate::element::Element;
use crate::payload_error::{PayloadError, required};

/// The namespace and disco feature.
pub const NS: &str = crate::ns::DISCO_INFO;

/// The namespace of [`Items`].
pub const NS_ITEMS: &str = crate::ns::DISCO_ITEMS;

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

/// `<query/>` of disco#items: a request if it has no items, and an answer either way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// The node in question.
    pub node: Option<String>,
    /// What belongs to the entity.
    pub items: Vec<Item>,
}

/// `<item/>`: an entity, or a part of one, that belongs to the entity in question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its address.
    pub jid: Address,
    /// The part of it.
    pub node: Option<String>,
    /// A human-readable name.
    pub name: Option<String>,
}

impl Items {
    /// Reads `<query/>`. Children of other kinds are ignored.
    ///
    /// # Errors
    ///
    /// Another element, and items whose address is missing or none.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "query", NS_ITEMS)?;
        let items = element
            .elements()
            .filter(|child| child.is("item", NS_ITEMS));
        Ok(Self {
            node: element.attr("node").map(str::to_owned),
            items: items.map(Item::read).collect::<Result<_, _>>()?,
        })
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let query = with(Element::new("query", NS_ITEMS), "node", self.node.as_ref());
        self.items
            .iter()
            .fold(query, |query, item| query.with_child(item.to_element()))
    }
}

impl Item {
    fn read(element: &Element) -> Result<Self, PayloadError> {
        let jid = Address::new(required(element, "item", "jid")?);
        Ok(Self {
            jid: jid.map_err(|_| PayloadError::Attribute {
                element: "item",
                attribute: "jid",
            })?,
            node: element.attr("node").map(str::to_owned),
            name: element.attr("name").map(str::to_owned),
        })
    }

    fn to_element(&self) -> Element {
        let item = Element::new("item", NS_ITEMS).with_attr("jid", self.jid.as_str());
        let item = with(item, "node", self.node.as_ref());
        with(item, "name", self.name.as_ref())
    }
}

fn query(node: Option<&str>) -> Element {
    with(Element::new("query", NS), "node", node)
}

/// With the attribute, if it has a value.
fn with(element: Element, name: &str, value: Option<impl Into<String>>) -> Element {
    match value {
        Some(value) => element.with_attr(name, value),
        None => element,
    }
}
