//! What the program prints about itself: manual pages and completions.

use super::*;

#[test]
fn the_manual_renders_without_complaints() {
    let stage = Stage::new();
    stage
        .run(&["man", "sing"])
        .expect(2)
        .saying("the verbs are demo");
    let pages = stage.path("man1");
    stage
        .run(&["man", "--dir", &pages.to_string_lossy()])
        .expect(0);
    let names: Vec<PathBuf> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(names.len() > 9, "{names:?}");
    for page in names {
        let text = std::fs::read_to_string(&page).unwrap();
        let title = page.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(text.contains(&format!(".TH {title} 1")), "{text}");
        assert!(text.contains(".SH SYNOPSIS"), "{text}");
        assert!(title == "xtls" || text.contains("Examples:"), "{title}");
        // Where there is a formatter, it has nothing to say against the page.
        let formatter = Command::new("man")
            .args(["--warnings", "-l"])
            .arg(&page)
            .env("MANWIDTH", "80")
            .output();
        if let Ok(formatted) = formatter.map(Ended) {
            assert_eq!(formatted.said(), "", "{title}");
        }
    }
}

#[test]
fn a_shell_is_told_peers_and_accounts() {
    let stage = Stage::settled();
    let key = "0a".repeat(32);
    stage.run(&["trust", "pin", JULIET, &key]).expect(0);
    std::fs::write(
        stage.home().join("config.toml"),
        format!("[accounts.\"{ROMEO}\"]\n[peers]\nnurse = \"nurse@capulet.example\"\n"),
    )
    .unwrap();
    let asked = |line: &[&str]| {
        let mut command = stage.command(&["--"]);
        command.args(line);
        command.env("XTLS_COMPLETE", "fish");
        Ended(command.output().unwrap()).output()
    };
    let peers = asked(&["xtls", "chat", ""]);
    for known in [JULIET, "nurse"] {
        assert!(
            peers
                .lines()
                .any(|line| line.split('\t').next() == Some(known)),
            "{peers}"
        );
    }
    assert!(asked(&["xtls", "id", "--account", "rom"]).contains(ROMEO));
    assert!(asked(&["xtls", "ch"]).contains("chat"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stage.run(&["completions", shell]);
        script.expect(0);
        assert!(script.output().contains("XTLS_COMPLETE"), "{shell}");
    }
}
