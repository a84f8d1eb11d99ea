//! The two PEM blocks (RFC 7468) of an identity. Every buffer that held the key is wiped.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Characters of base64 a line (RFC 7468 §2).
const LINE: usize = 64;

/// Appends one block.
pub(crate) fn write(label: &str, der: &[u8], out: &mut Zeroizing<String>) {
    // Room for everything at once: a growing String would leave unwiped copies behind.
    let base64_len = der.len().div_ceil(3) * 4;
    out.reserve_exact(base64_len + base64_len / LINE + 2 * label.len() + 64);
    let text = Zeroizing::new(STANDARD.encode(der));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
}

/// The content of the only block labelled `label`; `None` when there is none, several, or it is not base64.
pub(crate) fn read(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let (_, after) = text.split_once(&begin)?;
    let (body, after) = after.split_once(&end)?;
    if after.contains(&begin) {
        return None;
    }
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    base64.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::{read, write};

    proptest! {
        #[test]
        fn what_is_written_reads_back(der: Vec<u8>) {
            let mut text = Zeroizing::new(String::new());
            write("X", &der, &mut text);
            write("Y", b"other", &mut text);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            let back = read("X", &text).unwrap();
            prop_assert_eq!(&*back, &der);
        }
    }

    #[test]
    fn none_two_or_garbage_is_refused() {
        let mut text = Zeroizing::new(String::new());
        write("X", b"abc", &mut text);
        assert!(read("Y", &text).is_none());
        assert!(read("X", &format!("{}{}", *text, *text)).is_none());
        assert!(read("X", &text.replace("YWJj", "YW=j")).is_none());
        assert!(read("X", &text.replace("-----END", "")).is_none());
    }
}
