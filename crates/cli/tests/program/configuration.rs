//! The configuration file and the environment behind the command line.

use super::*;

fn config(stage: &Stage, text: &str) -> PathBuf {
    let path = stage.home().join("config.toml");
    std::fs::create_dir_all(stage.home()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_wrong_configuration_is_a_usage_error_with_its_line() {
    let stage = Stage::new();
    config(&stage, "account = \"romeo\"\n");
    stage
        .run(&["id"])
        .expect(2)
        .saying("config.toml, line 1: ")
        .saying("name@domain");
    let ended = stage.run(&["id", "--json"]);
    ended.expect(2);
    assert_eq!(objects(&ended.said())[0]["code"], 2);
    // Help is there all the same.
    stage.run(&["--help"]).expect(0);
}

#[test]
fn a_wrong_value_is_told_with_the_place_where_it_stands() {
    let stage = Stage::new();
    config(&stage, "[defaults.chat]\nblock_size = 1\n");
    stage
        .run(&["chat", JULIET])
        .expect(2)
        .saying("config.toml, line 2: ")
        .saying("--block-size");
    // Other verbs are not concerned.
    stage.run(&["id", "--account", ROMEO]).expect(0);
}

#[test]
fn a_named_file_must_be_there() {
    let stage = Stage::new();
    stage
        .run(&["id", "--account", ROMEO, "--config", "nowhere.toml"])
        .expect(2)
        .saying("nowhere.toml: No such file");
}

#[test]
fn the_account_comes_from_the_configuration_and_peers_have_names() {
    let stage = Stage::new();
    config(
        &stage,
        &format!("[accounts.\"{ROMEO}\"]\n[peers]\njuliet = \"{JULIET}\"\n"),
    );
    let id = stage.run(&["id"]);
    id.expect(0);
    assert!(id.output().contains(ROMEO));
    let key = "0a".repeat(32);
    stage.run(&["trust", "pin", "juliet", &key]).expect(0);
    let shown = stage.run(&["trust", "show", "juliet"]);
    shown.expect(0);
    assert!(shown.output().contains(JULIET));
    stage
        .run(&["trust", "show", "tybalt"])
        .expect(2)
        .saying("expected name@domain")
        .saying("juliet");
}

#[test]
fn options_come_from_the_environment_too() {
    let stage = Stage::new();
    let mut command = stage.command(&["id"]);
    command.env("XTLS_ACCOUNT", ROMEO).env("XTLS_JSON", "1");
    let ended = Ended(command.output().unwrap());
    ended.expect(0);
    assert_eq!(objects(&ended.output())[0]["address"], ROMEO);
    let mut command = stage.command(&["chat", JULIET]);
    command.env("XTLS_WINDOW", "1");
    Ended(command.output().unwrap())
        .expect(2)
        .saying("--window");
}

#[test]
fn a_listener_says_who_may_call_or_has_it_in_the_configuration() {
    let stage = Stage::new();
    stage
        .run(&["chat", "--listen", "--account", ROMEO])
        .expect(2)
        .saying("--accept");
    config(
        &stage,
        &format!("[accounts.\"{ROMEO}\"]\naccept = [\"{JULIET}\"]\n"),
    );
    // It goes as far as the password.
    stage
        .run(&["chat", "--listen"])
        .expect(2)
        .saying("no password for");
}

#[test]
fn an_account_that_cannot_log_in_is_not_added() {
    let stage = Stage::new();
    let password = stage.secret("password", "secret\n");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = unused.local_addr().unwrap().to_string();
    drop(unused);
    let password = password.to_string_lossy().into_owned();
    let args = [
        "account",
        "add",
        ROMEO,
        "--server",
        &server,
        "--password-file",
        &password,
    ];
    stage.run(&args).expect(3);
    assert!(!stage.home().join("config.toml").exists());
    assert!(!stage.home().join("accounts").exists());
    stage
        .run(&["account", "list"])
        .expect(0)
        .saying("xtls account add");
}

#[test]
fn accounts_are_listed_removed_and_one_is_the_default() {
    let stage = Stage::new();
    let path = config(
        &stage,
        &format!(
            "[accounts.\"{ROMEO}\"]\nserver = \"x.example:5222\"\n# mine\n[accounts.\"{JULIET}\"]\n"
        ),
    );
    let list = stage.run(&["account", "list", "--json"]);
    list.expect(0);
    let rows = objects(&list.output());
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["server"], "x.example:5222");
    assert_eq!(rows[1]["default"], false);
    stage
        .run(&["account", "default", "tybalt@capulet.example"])
        .expect(2)
        .saying("there are");
    stage.run(&["account", "default", ROMEO]).expect(0);
    let id = stage.run(&["id"]);
    id.expect(0);
    assert!(id.output().contains(ROMEO));
    stage
        .run(&["account", "remove", ROMEO])
        .expect(0)
        .saying("stay in");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains("# mine\n") && !text.contains("montague"),
        "{text}"
    );
    stage.run(&["account", "remove", ROMEO]).expect(2);
}

#[test]
fn the_password_comes_from_a_command() {
    let stage = Stage::new();
    for (command, why) in [
        ("false", "it failed"),
        ("true", "the first line is empty"),
        ("printf '\\377\\n'", "not UTF-8"),
    ] {
        stage
            .run(&[
                "chat",
                JULIET,
                "--account",
                ROMEO,
                "--password-command",
                command,
            ])
            .expect(2)
            .saying(why);
    }
}
