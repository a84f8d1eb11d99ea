//! Names that a peer chose, before they come near a disk.
//!
//! A name is taken as it is or not at all; nothing is escaped into something harmless, because two names could become one by that.

use std::collections::BTreeMap;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use crate::text::{cut, is_unfit};

/// Which names the system at hand would read as something else than a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rules {
    /// Every name that holds neither `/` nor NUL is one.
    Unix,
    /// There are also devices, drives, streams, and endings that are dropped.
    Windows,
}

impl Rules {
    /// Those of the system that this was built for.
    #[must_use]
    pub const fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else {
            Self::Unix
        }
    }
}

/// Why a path is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// A name of no characters.
    #[error("an empty name")]
    Empty,
    /// `.` or `..`.
    #[error("a name that leads to another folder")]
    Dots,
    /// `/` or `\`.
    #[error("a name with a slash or a backslash in it")]
    Separator,
    /// A control character, NUL and line feed among them.
    #[error("a name with a control character in it")]
    Control,
    /// A character that changes in which order text is shown, or that nothing shows.
    #[error("a name with an invisible character in it that changes how it is shown")]
    Direction,
    /// Not UTF-8.
    #[error("a name that is not UTF-8")]
    NotUtf8,
    /// More than [`MAX_NAME`] bytes.
    #[error("a name of more than {MAX_NAME} bytes")]
    TooLong,
    /// More than [`MAX_DEPTH`] names.
    #[error("more than {MAX_DEPTH} folders in each other")]
    TooDeep,
    /// The name of a file that is not complete.
    #[error("a name that ends with {PART}, as unfinished files do")]
    Part,
    /// A name that begins with a dot, where nobody has allowed that.
    #[error("a name that begins with a dot")]
    Hidden,
    /// Windows would open a device.
    #[error("the name of a device")]
    Device,
    /// Windows would drop the end of it.
    #[error("a name that ends with a dot or a space")]
    Ending,
    /// Windows would read it as a drive, a stream or a pattern.
    #[error("a name with one of the characters <>:\"|?* in it")]
    Reserved,
    /// Another entry of the offer has this path, or one that is the same when it is shown.
    #[error("a name that another entry has")]
    Twice,
}

/// Checks the names of a path from the top down, and joins them.
///
/// ```
/// use xtls_files::name::{NameFault, Rules, check};
///
/// let check = |names: &[&str]| check(names.iter().map(|name| name.as_bytes()), Rules::Unix);
/// assert_eq!(check(&["photos", "july.jpg"]).as_deref(), Ok("photos/july.jpg"));
/// assert_eq!(check(&["photos", ".."]), Err(NameFault::Dots));
/// assert_eq!(check(&["photos/../../etc"]), Err(NameFault::Separator));
/// ```
pub fn check<'a>(
    names: impl IntoIterator<Item = &'a [u8]>,
    rules: Rules,
) -> Result<Box<str>, NameFault> {
    let mut path = String::new();
    let mut depth = 0;
    for name in names {
        depth += 1;
        if depth > MAX_DEPTH {
            return Err(NameFault::TooDeep);
        }
        if depth > 1 {
            path.push('/');
        }
        path.push_str(check_one(name, rules)?);
    }
    if depth == 0 {
        return Err(NameFault::Empty);
    }
    Ok(path.into())
}

fn check_one(name: &[u8], rules: Rules) -> Result<&str, NameFault> {
    if name.len() > MAX_NAME {
        return Err(NameFault::TooLong);
    }
    let name = std::str::from_utf8(name).map_err(|_| NameFault::NotUtf8)?;
    match name {
        "" => return Err(NameFault::Empty),
        "." | ".." => return Err(NameFault::Dots),
        _ => {}
    }
    for c in name.chars() {
        if matches!(c, '/' | '\\') {
            return Err(NameFault::Separator);
        }
        if c.is_control() {
            return Err(NameFault::Control);
        }
        if is_unfit(c) {
            return Err(NameFault::Direction);
        }
    }
    // Also as a file system would fold it that does not tell cases apart.
    if name.to_lowercase().ends_with(PART) {
        return Err(NameFault::Part);
    }
    match rules {
        Rules::Unix => Ok(name),
        Rules::Windows => check_windows(name).map(|()| name),
    }
}

/// What "Naming Files, Paths, and Namespaces" of Microsoft forbids.
fn check_windows(name: &str) -> Result<(), NameFault> {
    if name.contains(['<', '>', ':', '"', '|', '?', '*']) {
        return Err(NameFault::Reserved);
    }
    if name.ends_with(['.', ' ']) {
        return Err(NameFault::Ending);
    }
    // An extension makes no difference, nor do spaces before it.
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end_matches(' ').to_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|device| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|number| {
            let mut digits = number.chars();
            let digit = digits.next();
            digits.next().is_none() && digit.is_some_and(|c| "0123456789¹²³".contains(c))
        })
    });
    let plain = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];
    if numbered || plain.contains(&&*stem) {
        return Err(NameFault::Device);
    }
    Ok(())
}

/// The numbers of paths that an earlier one equals, byte by byte or once both are normalised (NFC). File systems that
/// normalise would make one file of these, and people can't tell them apart.
///
/// Those that differ in upper and lower case only are not among them: there are such in real folders, and where the file system
/// takes them for one, the second gets another name, because nothing is ever overwritten.
pub(crate) fn repeated<'a>(paths: impl Iterator<Item = (u32, &'a str)> + Clone) -> Vec<u32> {
    let mut ascii: Vec<(&str, u32)> = Vec::new();
    let mut others: BTreeMap<String, u32> = BTreeMap::new();
    let mut repeated = Vec::new();
    for (index, path) in paths {
        if path.is_ascii() {
            ascii.push((path, index));
        } else if others.insert(nfc(path), index).is_some() {
            repeated.push(index);
        }
    }
    ascii.sort_unstable();
    let twice = ascii.windows(2).filter_map(|pair| match pair {
        [(first, _), (second, index)] if first == second => Some(*index),
        _ => None,
    });
    repeated.extend(twice);
    // A few characters become ASCII by it, such as the sign for kelvin.
    for (path, index) in &others {
        if path.is_ascii()
            && ascii
                .binary_search_by_key(&path.as_str(), |(path, _)| path)
                .is_ok()
        {
            repeated.push(*index);
        }
    }
    repeated.sort_unstable();
    repeated.dedup();
    repeated
}

fn nfc(path: &str) -> String {
    match is_nfc_quick(path.chars()) {
        IsNormalized::Yes => path.to_owned(),
        IsNormalized::No | IsNormalized::Maybe => path.nfc().collect(),
    }
}

#[cfg(all(feature = "tokio", unix))]
/// A name to try when `name` is taken: `report (2).pdf`, no longer than a name may be.
pub(crate) fn alternative(name: &str, number: u32) -> String {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= MAX_EXTENSION => {
            (stem, name.get(stem.len()..).unwrap_or_default())
        }
        _ => (name, ""),
    };
    let mark = format!(" ({number})");
    let room = MAX_NAME.saturating_sub(mark.len() + extension.len());
    let stem = cut(stem, room);
    format!("{stem}{mark}{extension}")
}

/// Names as they may be shown, whatever is in them.
pub(crate) fn shown<'a>(names: impl Iterator<Item = &'a [u8]>) -> Box<str> {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push('/');
        }
        let name = String::from_utf8_lossy(name);
        for c in name.chars() {
            if is_unfit(c) || matches!(c, '/' | '\\') {
                text.extend(c.escape_unicode());
            } else {
                text.push(c);
            }
        }
        if text.len() > MAX_SHOWN {
            text.truncate(cut(&text, MAX_SHOWN).len());
            text.push('…');
            break;
        }
    }
    text.into()
}

/// Bytes of one name: what file systems take.
pub const MAX_NAME: usize = 255;

/// Names in one path.
pub const MAX_DEPTH: usize = 64;

/// How the names of unfinished files end.
pub const PART: &str = ".xtls-part";

#[cfg(all(feature = "tokio", unix))]
/// Bytes of an ending that stays behind a number, its dot not counted.
const MAX_EXTENSION: usize = 16;

/// Bytes of a refused name that are shown.
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests;
