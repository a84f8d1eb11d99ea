use proptest::prelude::*;

use super::*;

/// What must not reach a disk, with the reason; names in a path are separated by `|` here.
fn hostile() -> Vec<(String, NameFault)> {
    use NameFault::*;
    let mut all: Vec<(String, NameFault)> = Vec::new();
    let mut add = |names: &[&str], fault: NameFault| {
        all.extend(names.iter().map(|name| ((*name).to_owned(), fault)));
    };
    add(&["", "|a", "a|", "a||b", "||"], Empty);
    add(
        &[
            ".",
            "..",
            "a|..|b",
            "..|etc|passwd",
            "a|.",
            ".|a",
            "..|..|..|..|tmp|x",
        ],
        Dots,
    );
    add(
        &[
            "/",
            "/etc/passwd",
            "//host/share",
            "a/b",
            "../x",
            "./x",
            "a/../../x",
            "a/",
            "\\",
            "a\\b",
            "..\\x",
            "..\\..\\boot.ini",
            "\\\\host\\share",
            "\\\\?\\C:\\x",
            "\\\\.\\pipe\\x",
            "C:\\Windows\\x",
            "C:/x",
            "c|/etc|x",
            "~/x",
            "a|b/..|c",
            "file:///etc/passwd",
            "%2e%2e/x",
            "..%2f/",
            ".../...//",
        ],
        Separator,
    );
    for c in (0..0x20).chain([0x7f, 0x80, 0x85, 0x9b, 0x9f]) {
        let c = char::from_u32(c).unwrap();
        add(
            &[&format!("a{c}b"), &format!("{c}"), &format!("x|a{c}")],
            Control,
        );
    }
    for c in "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{e0001}\u{e0041}\u{e007f}".chars() {
        add(&[&format!("invoice{c}fdp.exe"), &format!("{c}a"), &format!("x|a{c}")], Direction);
    }
    add(
        &[
            &"x".repeat(256),
            &"ä".repeat(128),
            &format!("a|{}", "y".repeat(4_096)),
        ],
        TooLong,
    );
    add(&[&["d"; 65].join("|"), &["d"; 1_000].join("|")], TooDeep);
    add(
        &[
            ".a.0123.xtls-part",
            "a.xtls-part",
            ".xtls-part",
            "b.XTLS-PART",
            "a|.B.Xtls-Part|c",
        ],
        Part,
    );
    all
}

/// What only Windows reads otherwise.
fn hostile_on_windows() -> Vec<(String, NameFault)> {
    use NameFault::*;
    let mut all: Vec<(String, NameFault)> = Vec::new();
    let mut add = |names: &[&str], fault: NameFault| {
        all.extend(names.iter().map(|name| ((*name).to_owned(), fault)));
    };
    for device in [
        "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$", "COM0", "COM1", "COM9", "LPT1",
        "LPT9", "COM¹", "LPT³",
    ] {
        let lower = device.to_lowercase();
        add(
            &[
                device,
                &lower,
                &format!("{device}.txt"),
                &format!("a|{lower}.tar.gz"),
                &format!("{device} .txt"),
            ],
            Device,
        );
    }
    add(&["a.", "a ", "a. .", "...", "a|b.|c", "a|b |c"], Ending);
    add(
        &[
            "C:", "a:stream", "a::$DATA", "a*", "a?", "\"a\"", "<a>", "a|b:c", "x>y",
        ],
        Reserved,
    );
    all
}

fn check_text(text: &str, rules: Rules) -> Result<Box<str>, NameFault> {
    check(text.split('|').map(str::as_bytes), rules)
}

#[test]
fn two_hundred_hostile_names_are_refused_each_with_its_reason() {
    let everywhere = hostile();
    let windows = hostile_on_windows();
    assert!(
        everywhere.len() + windows.len() >= 200,
        "{}",
        everywhere.len()
    );
    for (text, fault) in everywhere {
        for rules in [Rules::Unix, Rules::Windows] {
            assert_eq!(check_text(&text, rules), Err(fault), "{text:?}");
        }
    }
    for (text, fault) in windows {
        assert_eq!(check_text(&text, Rules::Windows), Err(fault), "{text:?}");
        assert!(check_text(&text, Rules::Unix).is_ok(), "{text:?}");
    }
}

#[test]
fn names_that_are_not_text_are_refused() {
    for name in [&b"\xff"[..], b"a\xc0\xaf", b"\xed\xa0\x80", b"a\x80"] {
        assert_eq!(check([name], Rules::Unix), Err(NameFault::NotUtf8));
    }
    assert_eq!(check([], Rules::Unix), Err(NameFault::Empty));
}

#[test]
fn names_that_only_look_strange_are_taken_as_they_are() {
    for name in [
        "a",
        "a b",
        " a",
        "...a",
        "..a",
        "a..b",
        "-rf",
        "~",
        "$HOME",
        "`id`",
        "a;b",
        "a'b",
        "#a",
        "%2e%2e",
        "aux",
        "ä",
        "e\u{301}",
        "日本語",
        "👩‍👩‍👧",
        "שלום",
        "a\u{200b}b",
        ".git",
        "a|b|c",
        &"x".repeat(255),
        &["d"; 64].join("|"),
    ] {
        let path = check_text(name, Rules::Unix).unwrap();
        assert_eq!(&*path, name.replace('|', "/"));
    }
}

#[test]
fn paths_that_are_one_for_people_or_for_a_file_system_are_found() {
    let paths = [
        "a",
        "b",
        "a",
        "é",
        "e\u{301}",
        "K",
        "\u{212a}",
        "A",
        "d/ä",
        "d/a\u{308}",
        "a",
    ];
    let indexed = (0..).zip(paths);
    assert_eq!(repeated(indexed), [2, 4, 6, 9, 10]);
}

#[cfg(all(feature = "tokio", unix))]
#[test]
fn a_name_that_is_taken_gets_a_number_before_its_ending() {
    for (name, other) in [
        ("report.pdf", "report (2).pdf"),
        ("photos", "photos (2)"),
        (".bashrc", ".bashrc (2)"),
        ("a.tar.gz", "a.tar (2).gz"),
        ("a.", "a (2)."),
        (
            "1. what this ending is like.no ending at all",
            "1. what this ending is like (2).no ending at all",
        ),
        ("a. a sentence with a dot", "a. a sentence with a dot (2)"),
    ] {
        assert_eq!(alternative(name, 2), other);
    }
    let long = alternative(&format!("{}.pdf", "ä".repeat(125)), 10);
    assert!(
        long.len() <= MAX_NAME && long.ends_with("ä (10).pdf"),
        "{long}"
    );
}

#[test]
fn a_refused_name_is_shown_without_what_makes_it_dangerous() {
    let text = shown([&b"a\x1b[2J"[..], b"../x\n", b"\xff"].into_iter());
    assert_eq!(&*text, "a\\u{1b}[2J/..\\u{2f}x\\u{a}/\u{fffd}");
    assert!(shown(std::iter::repeat_n(&b"xxxx"[..], 1_000)).len() <= MAX_SHOWN + '…'.len_utf8());
}

proptest! {
    #[test]
    fn a_path_that_is_taken_stays_below_its_folder(names in prop::collection::vec(any::<Vec<u8>>(), 0..6)) {
        if let Ok(path) = check(names.iter().map(Vec::as_slice), Rules::here()) {
            let parts: Vec<_> = std::path::Path::new(&*path).components().collect();
            prop_assert_eq!(parts.len(), names.len());
            prop_assert!(parts.iter().all(|part| matches!(part, std::path::Component::Normal(_))));
        }
    }
}
