//! Text that is cheap to make and to clone.

use std::sync::Arc;

/// Longest text without memory of its own, in bytes. Most full addresses have 30 to 45.
const MAX_SHORT: usize = 46;

/// A text that does not change. A short one lies inside, because most addresses live no longer than
/// the stanza they came with; a long one is shared.
#[derive(Clone)]
pub(super) enum Text {
    Short { len: u8, bytes: [u8; MAX_SHORT] },
    Long(Arc<str>),
}

impl Text {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            // It was made of a text: the check only says again what is known.
            Self::Short { .. } => str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; MAX_SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(text.as_bytes());
                Self::Short { len, bytes }
            }
            _ => Self::Long(text.into()),
        }
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
