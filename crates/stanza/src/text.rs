//! Text that is cheap to make and to clone.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest text without memory of its own, in bytes. Most full addresses have 30 to 45.
const MAX_SHORT: usize = 48;

/// A text that does not change. A short one lies inside, because most addresses and sids live no longer
/// than the stanza they came with; a long one is shared.
#[derive(Clone)]
pub(crate) enum Text {
    Short { len: usize, bytes: [u8; MAX_SHORT] },
    Long(Arc<str>),
}

impl Text {
    /// A text without memory of its own. The bytes must be one, and `None` says that they are too many.
    #[inline]
    pub(crate) fn short(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_SHORT];
        let len = text.len();
        bytes.get_mut(..len)?.copy_from_slice(text);
        Some(Self::Short { len, bytes })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..*len).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            // It was made of a text: the check only says again what is known.
            Self::Short { .. } => str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        Self::short(text.as_bytes()).unwrap_or_else(|| Self::Long(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_inside_or_outside() {
        for len in [0, 1, MAX_SHORT - 2, MAX_SHORT - 1, MAX_SHORT, 300] {
            let text = format!("{}é", "x".repeat(len));
            let kept = Text::from(text.as_str());
            assert_eq!((kept.as_str(), kept.len()), (&*text, text.len()));
            assert_eq!(matches!(kept, Text::Long(_)), text.len() > MAX_SHORT);
        }
    }
}
