//! Files and folders that are not complete: their names say what they are of.

use sha2::{Digest as _, Sha256};

use crate::entry::{Entry, Kind};
use crate::name::{MAX_NAME, PART};
use crate::text::cut;

/// The name under which an entry is kept until it is complete: `.report.pdf.` and 32 hexadecimal digits.
///
/// The digits are a hash of who sends it and of what the entry says, so that a part is never taken for one of another person or of
/// another state of the file; and a name says it at once, however the program ends.
pub(crate) fn part_name(peer: &str, entry: &Entry) -> String {
    let mut sha = Sha256::new();
    let mut add = |bytes: &[u8]| {
        sha.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        sha.update(bytes);
    };
    add(b"xtls-files part 1");
    add(peer.as_bytes());
    add(entry.path.as_bytes());
    if entry.kind == Kind::File {
        add(&entry.size.to_be_bytes());
        add(&entry.date.seconds.to_be_bytes());
        add(&entry.date.nanos.to_be_bytes());
    }
    let hash: [u8; 32] = sha.finalize().into();
    let digits: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let room = MAX_NAME - digits.len() - PART.len() - 2;
    let name = cut(name, room);
    format!(".{name}.{digits}{PART}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Date;

    #[test]
    fn each_person_and_each_state_of_a_file_has_a_part_of_its_own() {
        let date = Date::default();
        let later = Date { nanos: 1, ..date };
        let entry = Entry::file("d/a", 1, date);
        let names = [
            part_name("romeo@montague.example", &entry),
            part_name("tybalt@capulet.example", &entry),
            part_name("romeo@montague.example", &Entry::file("d/a", 2, date)),
            part_name("romeo@montague.example", &Entry::file("d/a", 1, later)),
            part_name("romeo@montague.example", &Entry::file("e/a", 1, date)),
            part_name("romeo@montague.example", &Entry::folder("d/a", date)),
        ];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(part_name("romeo@montague.example", &entry), names[0]);
    }

    #[test]
    fn the_name_of_a_part_is_no_longer_than_names_may_be() {
        for name in ["x".repeat(255), "ä".repeat(127), "a".to_owned()] {
            let part = part_name("p", &Entry::file(name.clone(), 0, Date::default()));
            assert!(part.len() <= MAX_NAME, "{part}");
            assert!(part.starts_with(&format!(".{}", &name[..name.len().min(2)])));
            assert!(part.ends_with(PART));
        }
    }
}
