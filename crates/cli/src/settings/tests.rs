use super::*;

fn read(text: &str) -> Result<Settings, Failure> {
    let path = Path::new("/etc/xtls/config.toml");
    Reader { path, text }.settings()
}

fn setting(option: &str, values: &[&str], line: usize) -> Setting {
    Setting {
        option: option.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        line,
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, why) in [
        ("acount = \"a@b\"", 1, "\"acount\" is no setting"),
        ("\naccount = 1", 2, "an account is an address"),
        ("account = \"juliet\"", 1, "name@domain"),
        ("account = \"a@b/c\"", 1, "without a resource"),
        ("accounts = 1", 1, "accounts is a section"),
        (
            "[accounts.\"a@b\"]\nserver = \"x:1\"\nsrv = \"x\"",
            3,
            "\"srv\" is no setting of an account",
        ),
        (
            "[accounts.\"a@b\"]\npassword = \"x\"",
            2,
            "\"password\" is no setting of an account",
        ),
        ("[accounts.\"a@b\"]\nserver = 1.5", 2, "server is text"),
        ("[accounts.juliet]\n", 1, "name@domain"),
        (
            "account = \"c@d\"\n[accounts.\"a@b\"]\n",
            1,
            "has no section",
        ),
        ("[peers]\n\"a@b\" = \"a@b\"", 2, "no name for a peer"),
        ("[peers]\njuliet = \"juliet\"", 2, "juliet: "),
        ("[peers]\njuliet = 1", 2, "juliet is an address"),
        ("[defaults]\nchat = 1", 2, "chat is a section"),
        ("[defaults.chat]\ntrust = {}", 2, "trust is text"),
        ("account = ", 1, ""),
        ("account = \"a@b\"\naccount = \"c@d\"", 2, ""),
    ] {
        let failure = read(text).unwrap_err();
        assert_eq!(failure.code, crate::failure::Code::Usage, "{text}");
        let begin = format!("the configuration /etc/xtls/config.toml, line {line}: ");
        assert!(failure.what.starts_with(&begin), "{text}: {}", failure.what);
        assert!(failure.what.contains(why), "{text}: {}", failure.what);
    }
}

#[test]
fn accounts_peers_and_defaults_are_read() {
    let settings = read(
        "[accounts.\"Romeo@montague.example\"]\nserver = \"xmpp.example:5222\"\ndirect_tls = true\naccept = [\"a@b\", \"c@d\"]\n\
         [peers]\njuliet = \"xmpp:juliet@capulet.example\"\n[defaults.chat]\nwindow = 4096\n",
    )
    .unwrap();
    let romeo = settings.account().unwrap().clone();
    assert_eq!(romeo.as_str(), "romeo@montague.example");
    assert_eq!(
        settings.of_account(&romeo).unwrap(),
        [
            setting("server", &["xmpp.example:5222"], 2),
            setting("direct-tls", &["true"], 3),
            setting("accept", &["a@b", "c@d"], 4),
        ]
    );
    assert_eq!(
        settings.peers()["juliet"].as_str(),
        "juliet@capulet.example"
    );
    assert_eq!(settings.of_verb("chat"), [setting("window", &["4096"], 8)]);
    assert!(settings.of_verb("id").is_empty());
}

#[test]
fn one_of_several_accounts_is_the_default_only_if_it_is_named() {
    let two = "[accounts.\"a@b\"]\n[accounts.\"c@d\"]\n";
    assert_eq!(read(two).unwrap().account(), None);
    let named = format!("account = \"c@d\"\n{two}");
    assert_eq!(read(&named).unwrap().account().unwrap().as_str(), "c@d");
}

#[test]
fn only_the_default_file_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    assert!(Settings::load(&path, false).unwrap().account().is_none());
    assert!(
        Settings::load(&path, true)
            .unwrap_err()
            .what
            .contains("config.toml")
    );
    assert!(Settings::load(folder.path(), false).is_err());
    std::fs::write(&path, vec![b' '; LONGEST + 1]).unwrap();
    assert!(
        Settings::load(&path, false)
            .unwrap_err()
            .what
            .contains("1 MiB")
    );
}

#[test]
fn relative_paths_are_next_to_the_file() {
    let settings = read("").unwrap();
    assert_eq!(settings.resolve("password"), "/etc/xtls/password");
    assert_eq!(settings.resolve("/run/password"), "/run/password");
    let home = etcetera::home_dir().unwrap();
    assert_eq!(settings.resolve("~/pw"), home.join("pw").to_string_lossy());
}

#[test]
fn changes_keep_comments_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("config.toml");
    let address = |text: &str| Peer::parse_bare(text).unwrap().address().clone();
    let (romeo, juliet) = (
        address("romeo@montague.example"),
        address("juliet@capulet.example"),
    );
    let mut editor = Editor::open(&path).unwrap();
    editor.set_account(
        &romeo,
        &[
            setting("server", &["x.example:1"], 0),
            setting("direct-tls", &["true"], 0),
        ],
    );
    editor.set_default(&romeo);
    editor.save().unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# mine\n{written}# the end\n")).unwrap();

    let mut editor = Editor::open(&path).unwrap();
    editor.set_account(
        &juliet,
        &[setting("accept", &["romeo@montague.example"], 0)],
    );
    editor.save().unwrap();
    let settings = Settings::load(&path, true).unwrap();
    assert_eq!(settings.account(), Some(&romeo));
    assert_eq!(
        settings.of_account(&juliet).unwrap()[0].values,
        ["romeo@montague.example"]
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# mine\n"), "{text}");
    assert!(text.contains("# the end"), "{text}");
    assert!(text.contains("direct_tls = true"), "{text}");

    let mut editor = Editor::open(&path).unwrap();
    assert!(editor.remove_account(&romeo));
    assert!(!editor.remove_account(&romeo));
    editor.save().unwrap();
    let settings = Settings::load(&path, true).unwrap();
    assert_eq!(settings.account(), Some(&juliet));
    assert!(settings.of_account(&romeo).is_none());
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1
    );
}
