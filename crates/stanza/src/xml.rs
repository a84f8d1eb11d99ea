//! What XML is made of: characters, names, and how far plain bytes go. The ground on which the rest of the crate stands.

pub(crate) mod chars;
pub(crate) mod names;
pub(crate) mod simd;
