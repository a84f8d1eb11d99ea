use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;

use xtls_client::uplink::normalise;

use super::*;

/// The arguments that the program receives when a shell runs the line. A shell function in place of the program records
/// them.
fn run(line: &str) -> Vec<Vec<u8>> {
    let script = format!("xtls() {{ printf '%s\\0' \"$@\"; }}\n{line}\n");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    assert_eq!(output.stderr, b"", "{line}");
    // Nothing was redirected into a file either.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut args: Vec<_> = output
        .stdout
        .split(|octet| *octet == 0)
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(args.pop(), Some(Vec::new()), "{line}");
    args
}

fn suggest(account: Option<&str>, home: Option<&OsStr>) -> Suggest {
    Suggest::new(&Account {
        account: account.map(|account| normalise(account).unwrap()),
        home: home.map(PathBuf::from),
        config: None,
    })
}

/// Addresses that a stranger may choose, all valid under the rules for local parts.
const HOSTILE: [&str; 9] = [
    "x;{echo,peers,command,ran}|cat;@evil.example",
    "`{touch,ran}`@evil.example",
    "$(ran)@evil.example",
    "$home@evil.example",
    "a*?[!x]#~@evil.example",
    "--home@evil.example",
    "=ls@evil.example",
    "\\\\n!!@evil.example",
    "%n(){xtls;}@evil.example",
];

#[test]
fn a_peers_address_never_runs_as_a_command() {
    for peer in HOSTILE {
        let peer = normalise(peer).unwrap();
        let line = suggest(None, None).line(&["trust", "forget"], &[peer.as_str()]);
        let args = run(&line);
        let mut wanted = vec!["trust", "forget"];
        if peer.as_str().starts_with('-') {
            wanted.push("--");
        }
        wanted.push(peer.as_str());
        let wanted: Vec<_> = wanted.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(args, wanted, "{line}");
    }
}

#[test]
fn every_octet_of_a_word_reaches_the_program_unchanged() {
    let every: Vec<u8> = (1..=u8::MAX).collect();
    let mixed = "a'b\"c\u{1b}[31m\u{202E}ü漢\u{9b}\n'";
    for word in [
        every.as_slice(),
        mixed.as_bytes(),
        b"'",
        b"",
        b"\xFF",
        b"a\nb",
    ] {
        let line = suggest(None, Some(OsStr::from_bytes(word))).line(&["id"], &[]);
        assert_eq!(run(&line), [b"id".as_slice(), b"--home", word], "{line}");
        assert_eq!(visible(&line), line, "the terminal shows something else");
    }
}

#[test]
fn the_options_of_this_run_are_part_of_the_command() {
    let home = std::ffi::OsString::from_vec(b"-odd folder".to_vec());
    let line = suggest(Some("-j@capulet.example"), Some(&home)).line(
        &["trust", "pin", "--another"],
        &["romeo@montague.example", THEIR_FINGERPRINT],
    );
    assert_eq!(
        line,
        "xtls trust pin --another --account=-j@capulet.example --home='-odd folder' romeo@montague.example \
         '<the fingerprint they give you>'"
    );
    let args = run(&line);
    assert_eq!(args.last().unwrap(), THEIR_FINGERPRINT.as_bytes());
}

#[test]
fn harmless_words_are_not_quoted() {
    let line = suggest(Some("juliet@capulet.example"), None)
        .line(&["verify"], &["romeo@montague.example/orchard"]);
    assert_eq!(
        line,
        "xtls verify --account juliet@capulet.example romeo@montague.example/orchard"
    );
}

#[test]
fn commands_on_paths_are_quoted_too() {
    assert_eq!(
        on_paths("chmod 600", &[Path::new("/a b/c")]),
        "chmod 600 '/a b/c'"
    );
    assert_eq!(
        on_paths("mv -i", &[Path::new("-x"), Path::new("y")]),
        "mv -i -- -x y"
    );
}
