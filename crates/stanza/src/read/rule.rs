//! Which rule a document breaks, and where.

use std::fmt;

/// Maximum nesting depth of elements, counting the outermost.
pub const MAX_DEPTH: usize = 64;
/// Maximum number of attributes of one element, not counting namespace declarations.
pub const MAX_ATTRIBUTES: usize = 64;
/// Maximum number of namespace declarations in scope at one place. The default
/// namespace around a document doesn't count, nor does its element repeating it.
pub const MAX_IN_SCOPE: usize = 128;
/// Maximum length of a namespace name in bytes, with references resolved. The longest in use have some 80. Trees share them, so the
/// limit bounds the cost of comparing two and of writing one.
pub const MAX_NAMESPACE: usize = 1024;

/// Why a document was refused. Contains none of the document, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadError {
    /// Byte offset in the document.
    pub at: usize,
    /// The broken rule.
    pub rule: Rule,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.rule)
    }
}

impl std::error::Error for ReadError {}

/// A rule of the strict reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A byte-order mark at the beginning.
    ByteOrderMark,
    /// A character that XML can't represent, literal or as a reference.
    Character,
    /// A carriage return that parsers interpret differently.
    CarriageReturn,
    /// `<?xml …?>`, which belongs to a stream, not a stanza.
    Declaration,
    /// `<?…?>`.
    ProcessingInstruction,
    /// `<!DOCTYPE …>`.
    Doctype,
    /// `<!--…-->`.
    Comment,
    /// An entity other than the five of XML.
    Entity,
    /// `&` that doesn't begin a reference.
    Reference,
    /// `<!` that begins nothing valid.
    Markup,
    /// `]]>` in text.
    CDataEnd,
    /// There is no element.
    NoElement,
    /// Text before or after the element, including white space: rxml accepts none before it.
    TextOutside,
    /// A second element after the first.
    SecondElement,
    /// The document ends inside of an element or a tag.
    Unclosed,
    /// An end tag that doesn't match the innermost element.
    EndTag,
    /// An invalid name, or one with two colons.
    Name,
    /// No white space before an attribute.
    AttributeSpace,
    /// An attribute without `=` and a value in quotes.
    AttributeValue,
    /// `<` in the value of an attribute.
    LessThan,
    /// Two attributes with the same name, or the same name and namespace.
    DuplicateAttribute,
    /// An undeclared prefix.
    Prefix,
    /// The prefix `xml` or `xmlns`, or one of their namespaces, used for something else.
    ReservedPrefix,
    /// A prefix declared as the empty namespace.
    EmptyPrefix,
    /// More than [`MAX_DEPTH`] elements inside each other.
    Depth,
    /// More than [`MAX_ATTRIBUTES`] attributes on an element.
    Attributes,
    /// More than [`MAX_IN_SCOPE`] declarations in scope.
    InScope,
    /// The name of a namespace with more than [`MAX_NAMESPACE`] bytes.
    NamespaceLength,
    /// An element that isn't a message, presence or iq.
    NotAStanza,
    /// A stanza outside of `jabber:client`.
    StanzaNamespace,
    /// A stanza with a prefix that declares another default namespace for its children.
    DefaultNamespace,
    /// A `from` or `to` that isn't an address.
    Address,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8 (RFC 6120 §11.6)"),
            Self::ByteOrderMark => f.write_str("a byte-order mark is not allowed (RFC 6120 §11.6)"),
            Self::Character => f.write_str("a character that XML cannot carry (XML 1.0 §2.2)"),
            Self::CarriageReturn => f.write_str(
                "a carriage return without line feed, or after `]`, which parsers read differently",
            ),
            Self::Declaration => {
                f.write_str("an XML declaration inside of a stream (RFC 6120 §11.4)")
            }
            Self::ProcessingInstruction => {
                f.write_str("a processing instruction is not allowed (RFC 6120 §11.1)")
            }
            Self::Doctype => {
                f.write_str("a document type declaration is not allowed (RFC 6120 §11.1)")
            }
            Self::Comment => f.write_str("a comment is not allowed (RFC 6120 §11.1)"),
            Self::Entity => {
                f.write_str("an entity other than lt, gt, amp, apos and quot (RFC 6120 §11.1)")
            }
            Self::Reference => f.write_str(
                "an ampersand that does not begin a reference of at most 8 digits (XML 1.0 §4.1)",
            ),
            Self::Markup => f.write_str("`<!` begins nothing known (XML 1.0 §3.1)"),
            Self::CDataEnd => f.write_str("`]]>` in text (XML 1.0 §2.4)"),
            Self::NoElement => f.write_str("no element (XML 1.0 §2.1)"),
            Self::TextOutside => {
                f.write_str("text or white space outside of the element (XML 1.0 §2.1)")
            }
            Self::SecondElement => f.write_str("a second element (XML 1.0 §2.1)"),
            Self::Unclosed => f.write_str("an element or tag without end (XML 1.0 §2.1)"),
            Self::EndTag => f.write_str("an end tag that matches no start tag (XML 1.0 §3)"),
            Self::Name => {
                f.write_str("not a name (XML 1.0 fourth edition §2.3, Namespaces in XML §4)")
            }
            Self::AttributeSpace => {
                f.write_str("no white space in front of an attribute (XML 1.0 §3.1)")
            }
            Self::AttributeValue => {
                f.write_str("an attribute without a value in quotes (XML 1.0 §3.1)")
            }
            Self::LessThan => f.write_str("`<` in the value of an attribute (XML 1.0 §3.1)"),
            Self::DuplicateAttribute => {
                f.write_str("an attribute appears twice (XML 1.0 §3.1, Namespaces in XML §6.3)")
            }
            Self::Prefix => f.write_str("a prefix that is not declared (Namespaces in XML §5)"),
            Self::ReservedPrefix => f.write_str(
                "the prefix xml or xmlns used for something else (Namespaces in XML §3)",
            ),
            Self::EmptyPrefix => f.write_str("a prefix declared as nothing (Namespaces in XML §5)"),
            Self::Depth => write!(
                f,
                "more than {MAX_DEPTH} elements inside each other (our limit)"
            ),
            Self::Attributes => write!(
                f,
                "more than {MAX_ATTRIBUTES} attributes on an element (our limit)"
            ),
            Self::InScope => write!(
                f,
                "more than {MAX_IN_SCOPE} namespace declarations in scope (our limit)"
            ),
            Self::NamespaceLength => write!(
                f,
                "the name of a namespace has more than {MAX_NAMESPACE} bytes (our limit)"
            ),
            Self::NotAStanza => f.write_str("neither message nor presence nor iq (RFC 6120 §8)"),
            Self::StanzaNamespace => {
                f.write_str("a stanza outside of jabber:client (RFC 6120 §4.8.2)")
            }
            Self::DefaultNamespace => {
                f.write_str("a stanza with a prefix and another default namespace for its children")
            }
            Self::Address => f.write_str("from or to is not an address (RFC 6122)"),
        }
    }
}
