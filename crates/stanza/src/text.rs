//! Text that is cheap to make and to clone.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A text that does not change. One of at most `N` bytes, which are less than 256, lies inside, because most addresses,
/// sids and names live no longer than the stanza they came with; a longer one is shared.
#[derive(Clone)]
pub(crate) enum Text<const N: usize> {
    Short { len: u8, bytes: [u8; N] },
    Long(Arc<str>),
}

impl<const N: usize> Text<N> {
    pub(crate) const EMPTY: Self = Self::Short {
        len: 0,
        bytes: [0; N],
    };

    /// A text without memory of its own. The bytes must be one, and `None` says that they are too many.
    #[inline]
    pub(crate) fn short(text: &[u8]) -> Option<Self> {
        let mut short = Self::EMPTY;
        short.fill(text).then_some(short)
    }

    /// Makes a text without memory of its own of an empty one, where it is. What was just written cannot be moved at once,
    /// for the processor waits until it can be read in other pieces.
    #[inline]
    pub(crate) fn fill(&mut self, text: &[u8]) -> bool {
        match self {
            Self::Short { len, bytes } => {
                match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
                    (Ok(length), Some(place)) => {
                        place.copy_from_slice(text);
                        *len = length;
                        true
                    }
                    _ => false,
                }
            }
            Self::Long(_) => false,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
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

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const N: usize> Hash for Text<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl<const N: usize> From<&str> for Text<N> {
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
        for len in [0, 1, 20, 21, 22, 300] {
            let text = format!("{}é", "x".repeat(len));
            let kept = Text::<22>::from(text.as_str());
            assert_eq!((kept.as_str(), kept.len()), (&*text, text.len()));
            assert_eq!(matches!(kept, Text::Long(_)), text.len() > 22);
        }
    }
}
