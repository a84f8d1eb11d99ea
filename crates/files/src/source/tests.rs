use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use super::*;

fn paths(sources: &Sources) -> Vec<&str> {
    sources.entries().map(|entry| &*entry.path).collect()
}

#[test]
fn what_is_neither_file_nor_folder_is_left_out_below_and_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("d")).unwrap();
    fs::write(path.join("d/a"), b"a").unwrap();
    symlink("a", path.join("d/link")).unwrap();
    symlink("/", path.join("d/root")).unwrap();
    fs::write(path.join("d/b\u{202e}txt"), b"b").unwrap();
    fs::write(
        path.join("d").join(std::ffi::OsStr::from_bytes(b"\xff")),
        b"c",
    )
    .unwrap();
    fs::write(path.join("d/.a.0123.xtls-part"), b"d").unwrap();
    let socket = std::os::unix::net::UnixListener::bind(path.join("d/socket")).unwrap();
    let sources = Sources::collect([path.join("d")]).unwrap();
    assert_eq!(paths(&sources), ["d", "d/a"]);
    let mut why: Vec<_> = sources
        .left_out()
        .iter()
        .map(|left| left.why.to_string())
        .collect();
    why.sort();
    assert_eq!(why.len(), 6, "{why:#?}");
    assert!(Sources::collect([path.join("d/socket")]).is_err());
    assert!(Sources::collect([path.join("nothing")]).is_err());
    drop(socket);
}

#[test]
fn a_link_that_was_named_is_followed_and_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("a"), b"content").unwrap();
    symlink("a", path.join("link")).unwrap();
    let sources = Sources::collect([path.join("link")]).unwrap();
    assert_eq!(paths(&sources), ["link"]);
    let mut content = String::new();
    io::Read::read_to_string(&mut sources.open(0).unwrap(), &mut content).unwrap();
    assert_eq!(content, "content");
}

#[test]
fn a_file_that_becomes_a_link_or_a_pipe_before_it_is_sent_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("d")).unwrap();
    for name in ["a", "b"] {
        fs::write(path.join("d").join(name), b"content").unwrap();
    }
    let sources = Sources::collect([path.join("d")]).unwrap();
    fs::remove_file(path.join("d/a")).unwrap();
    symlink("/etc/passwd", path.join("d/a")).unwrap();
    assert!(sources.open(1).is_err());
    fs::remove_file(path.join("d/b")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path.join("d/b"))
        .status()
        .unwrap();
    assert!(made.success());
    let mut reader = reader::Reader::new(std::sync::Arc::new(sources));
    reader.want(2, 0, None);
    let steps = reader.run(131_072, false);
    assert!(
        matches!(steps[..], [(2, reader::Step::Fail(_))]),
        "{steps:?}"
    );
}

#[test]
fn the_offer_is_in_the_order_of_names_with_folders_before_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("d/b/c")).unwrap();
    fs::create_dir_all(path.join("e/d")).unwrap();
    for name in ["d/z", "d/a", "d/b/x", "d/b/c/y", "e/d/a"] {
        fs::write(path.join(name), name).unwrap();
    }
    let named = [path.join("d"), path.join("e/d"), path.join("d/a")];
    let sources = Sources::collect(named).unwrap();
    let all = [
        "d", "d/a", "d/b", "d/b/c", "d/b/c/y", "d/b/x", "d/z", "d (2)", "d (2)/a", "a",
    ];
    assert_eq!(paths(&sources), all);
    for (index, entry) in (0..)
        .zip(sources.entries())
        .filter(|(_, entry)| entry.kind == Kind::File)
    {
        let mut content = String::new();
        io::Read::read_to_string(&mut sources.open(index).unwrap(), &mut content).unwrap();
        assert_eq!(u64::try_from(content.len()).unwrap(), entry.size);
        assert!(content.ends_with(entry.path.rsplit('/').next().unwrap()));
    }
}

#[test]
fn a_hole_is_not_read_and_hashes_as_its_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let mut content = vec![0; 40_000_000];
    content[20_000_000..20_100_000].fill(7);
    let file = File::create(&path).unwrap();
    file.set_len(40_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &content[20_000_000..20_100_000], 20_000_000)
        .unwrap();
    let mut reader = reader::Reader::new(std::sync::Arc::new(Sources::collect([&path]).unwrap()));
    reader.want(0, 3, None);
    let (mut at, mut holes, mut end) = (0, 0, None);
    while !reader.is_idle() {
        for (_, step) in reader.run(131_072, false) {
            match step {
                reader::Step::Begin { offset } => at = offset,
                reader::Step::Block(crate::Block::Hole(length)) => {
                    at += length;
                    holes += length;
                }
                reader::Step::Block(block) => at += block.size(),
                reader::Step::End(hash) => end = Some(hash),
                reader::Step::Fail(told) => panic!("{told}"),
            }
        }
    }
    let mut hasher = crate::Hasher::default();
    hasher.add(&content);
    assert_eq!((at, end), (40_000_000, Some(hasher.hash())));
    assert!(holes > 39_800_000, "{holes}");
}

/// With the head of its frame and TLS 1.3 around it (22 bytes for each 16 KiB, RFC 8446 §5.2) in the largest chunk of XEP-0047.
#[test]
fn a_block_is_one_chunk_of_a_bytestream_and_nothing_is_left_over() {
    let plain = reader::BLOCK + 4;
    let records = plain.div_ceil(16_384) + 1;
    assert!(plain + records * 22 <= 65_535);
}
