//! Only `id` with a named account, or a login, creates a key; files that others could replace are not used.

use super::*;

#[test]
fn a_login_that_fails_leaves_the_home_as_it_was() {
    for stage in [Stage::new(), Stage::settled()] {
        let password = stage.secret("password", "wherefore\n");
        let code = stage.secret("code", "abandon ability able\n");
        let before = stage.tree();
        for verb in [
            ["stanzas", ROMEO].as_slice(),
            &["chat", ROMEO],
            &["verify", ROMEO, "--code-file", text(&code)],
            &["stanzas", "--listen", "--accept", ROMEO],
        ] {
            let mut command = stage.login(verb);
            command.args(["--account", JULIET, "--password-file", text(&password)]);
            Ended(command.output().unwrap()).expect(3);
            assert_eq!(stage.tree(), before, "{verb:?}");
        }
    }
}

#[test]
fn a_damaged_key_is_reported_before_any_login() {
    let stage = Stage::settled();
    let key = stage.home().join(ROMEO).join("key.pem");
    std::fs::write(&key, "garbage").unwrap();
    let mut command = stage.login(&["stanzas", JULIET]);
    let ended = Ended(
        command
            .env("XTLS_PASSWORD", "x")
            .args(["--account", ROMEO])
            .output()
            .unwrap(),
    );
    ended.expect(1).saying("key.pem");
    assert_eq!(ended.commands().len(), 1);
}

#[test]
fn no_pins_are_created_for_an_unknown_account() {
    let key = "0a1b2c3d".repeat(8);
    for (stage, there) in [(Stage::new(), "no keys at all"), (Stage::settled(), ROMEO)] {
        let before = stage.tree();
        for verb in [
            ["list"].as_slice(),
            &["show", "nurse@capulet.example"],
            &["pin", "nurse@capulet.example", &key],
            &["forget", "nurse@capulet.example"],
            &["revoke", "nurse@capulet.example", &key],
        ] {
            let args = [&["trust"], verb, &["--account", JULIET]].concat();
            let ended = stage.run(&args);
            ended
                .expect(2)
                .saying(&format!("there is no key for {JULIET} here"))
                .saying(there);
            assert_eq!(ended.output(), "");
            assert_eq!(stage.tree(), before, "{verb:?}");
        }
    }
}

#[test]
fn the_suggestion_for_an_account_without_a_key_works_as_printed() {
    let stage = Stage::new();
    let args = ["trust", "list", "--account", JULIET];
    let commands = stage.run(&args).expect(2).commands();
    let [command] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    stage.paste(command).expect(0);
    stage.run(&args).expect(0);
}

#[test]
fn the_suggestions_for_a_known_peer_work_as_printed() {
    let stage = Stage::settled();
    stage.run(&["id", "--account", JULIET]).expect(0);
    let pin = |key: &str| {
        let key = key.repeat(8);
        stage.run(&["trust", "pin", "--account", ROMEO, "a;b@evil.example", &key])
    };
    pin("0a1b2c3d").expect(0);
    let commands = pin("ffffffff").expect(5).commands();
    let [forget, another] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    stage.paste(another).expect(0);
    stage
        .paste(forget)
        .expect(0)
        .saying("2 keys of a;b@evil.example");
    pin("ffffffff").expect(0);
    stage
        .paste(forget)
        .expect(0)
        .saying("1 key of a;b@evil.example");
}

#[test]
fn only_a_named_account_gets_a_key() {
    let stage = Stage::new();
    let before = stage.tree();
    stage.run(&["id"]).expect(2).saying("--account");
    assert_eq!(stage.tree(), before);
}

#[test]
fn a_home_below_a_folder_that_others_can_write_to_is_refused_until_the_command_was_run() {
    let stage = Stage::settled();
    let above = stage.path("an account's");
    set_mode(&above, 0o777);
    let before = stage.tree();
    for args in [
        ["id", "--account", ROMEO].as_slice(),
        &["id", "--account", JULIET],
        &["trust", "list"],
        &["stanzas", JULIET],
    ] {
        let ended = stage.run(args);
        ended.expect(1).saying(text(&above)).saying("mode 777");
        assert_eq!(
            ended.commands(),
            [format!(
                "chmod go-w '{}'",
                text(&above).replace('\'', "'\\''")
            )]
        );
        assert_eq!(stage.tree(), before);
    }
    let commands = stage.run(&["trust", "list"]).commands();
    stage.paste(&commands[0]).expect(0);
    stage.run(&["trust", "list"]).expect(0);
}

#[test]
fn a_home_that_cannot_be_made_is_named() {
    let stage = Stage::new();
    let file = stage.secret("file", "");
    let home = file.join("home");
    stage
        .run(&["id", "--account", ROMEO, "--home", text(&home)])
        .expect(1)
        .saying(text(&home));
}
