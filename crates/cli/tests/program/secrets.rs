//! Passwords and codes: which sources are accepted, and what is refused before any login.

use super::*;

#[test]
fn a_password_or_code_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let stage = Stage::settled();
    let path = stage.secret("it is secret", "123456\n");
    for (secret, verb) in [
        (
            "password",
            ["stanzas", JULIET, "--password-file"].as_slice(),
        ),
        ("code", &["verify", JULIET, "--code-file"]),
    ] {
        set_mode(&path, 0o644);
        let run = || {
            let mut command = stage.login(&[verb, &[text(&path)]].concat());
            Ended(command.env("XTLS_PASSWORD", "x").output().unwrap())
        };
        let refused = run();
        refused
            .expect(2)
            .saying(&format!("the {secret} file {}", path.display()))
            .saying("mode 644");
        let commands = refused.commands();
        assert_eq!(commands, [format!("chmod 600 '{}'", path.display())]);
        stage.paste(&commands[0]).expect(0);
        // Now it gets as far as the server, where no one is listening.
        run().expect(3);
    }
}

#[test]
fn a_code_is_asked_of_exactly_one_person() {
    let stage = Stage::settled();
    let path = stage.secret("code", "123456\n");
    for accept in [
        &["--accept", "any"][..],
        &["--accept", JULIET, "--accept", "nurse@capulet.example"],
        &["--accept", JULIET, "--accept", "any"],
    ] {
        let listen = ["verify", "--listen", "--code-file", text(&path)];
        let mut command = stage.login(&[&listen[..], accept].concat());
        Ended(command.env("XTLS_PASSWORD", "x").output().unwrap())
            .expect(2)
            .saying("a code is for one person")
            .saying("name exactly one account with --accept");
    }
}

#[test]
fn a_password_may_come_through_a_pipe() {
    let stage = Stage::settled();
    let program = env!("CARGO_BIN_EXE_xtls");
    let server = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let line = format!(
        "printf 'wherefore\\n' | XTLS_HOME=\"$0\" '{program}' chat {JULIET} --password-file /dev/stdin --server {server}"
    );
    let output = Command::new("sh")
        .args(["-c", &line])
        .arg(stage.home())
        .output();
    Ended(output.unwrap()).expect(3);
}

/// As in a file, only the first line counts: a variable that starts with a line end is empty, and a line end after the
/// password is dropped.
#[test]
fn the_line_end_of_a_password_in_the_environment_is_dropped() {
    let stage = Stage::settled();
    let run = |password: &OsStr| {
        let mut command = stage.login(&["stanzas", JULIET]);
        Ended(command.env("XTLS_PASSWORD", password).output().unwrap())
    };
    for empty in ["", "\n", "\r\n", "\nwherefore"] {
        run(empty.as_ref())
            .expect(2)
            .saying("the password in XTLS_PASSWORD: its first line is empty");
    }
    run("wherefore\n".as_ref()).expect(3);
    let no_text = std::os::unix::ffi::OsStrExt::from_bytes(b"\xFF\xFE");
    run(no_text)
        .expect(2)
        .saying("XTLS_PASSWORD: it is not UTF-8");
}
