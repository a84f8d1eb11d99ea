//! What the process must not leave behind.

use std::net::TcpListener;

use super::*;

/// A silent server keeps the program waiting while the test inspects it.
#[test]
#[cfg(target_os = "linux")]
fn core_dumps_are_off_while_keys_are_in_memory() {
    let stage = Stage::settled();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    // Raise the limit as far as allowed first, or there would be nothing to disable.
    let line = "ulimit -S -c \"$(ulimit -H -c)\" && exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_xtls")]);
    command.args(["stanzas", JULIET, "--account", ROMEO, "--server", &address]);
    command.arg("--home").arg(stage.home());
    let mut child = command.env("XTLS_PASSWORD", "x").spawn().unwrap();
    // It reads its key before it connects.
    let connected = server.accept();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    connected.unwrap();
    let limits = limits.unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let values: Vec<_> = line.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"], "{line}");
}
