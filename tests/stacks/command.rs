//! OpenSSL's own commands `s_client` and `s_server`, over loopback: they compute the exporter, which Python doesn't
//! offer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use bytes::BytesMut;
use xtls_tests::live::PATIENCE;
use xtls_tls::{Role, Tls};

use crate::hex;
use crate::peer::{ALPN, Kind, ROLES, THEIRS, certificate, ours};

const LABEL: &str = "EXPERIMENTAL-xtls-test";

fn openssl(arguments: &[&str]) -> Command {
    let (certificate, key) = certificate(Kind::Ed25519, THEIRS);
    let mut command = Command::new("openssl");
    command.args(arguments).args(["-tls1_3", "-alpn", ALPN]);
    command.arg("-cert").arg(certificate).arg("-key").arg(key);
    command.args(["-keymatexport", LABEL, "-keymatexportlen", "32"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null());
    command
}

/// The process and the wire to it; its output so far has been read.
fn start(role: Role) -> (Child, BufReader<std::process::ChildStdout>, TcpStream) {
    match role {
        Role::Server => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let mut child = openssl(&["s_client", "-connect", &address])
                .spawn()
                .unwrap();
            let said = BufReader::new(child.stdout.take().unwrap());
            (child, said, listener.accept().unwrap().0)
        }
        Role::Client => {
            let server = [
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-naccept",
                "1",
                "-Verify",
                "1",
            ];
            let mut child = openssl(&server).spawn().unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap());
            let address = loop {
                let mut line = String::new();
                assert_ne!(said.read_line(&mut line).unwrap(), 0, "it does not listen");
                if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
                    break address.to_owned();
                }
            };
            (child, said, TcpStream::connect(address).unwrap())
        }
    }
}

fn flush(tls: &mut Tls, wire: &mut TcpStream) {
    while let Some(bytes) = tls.poll_wire(4096) {
        wire.write_all(&bytes).unwrap();
    }
}

#[test]
fn openssl_exports_the_same() {
    for role in ROLES {
        let (mut child, mut said, mut wire) = start(role);
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut tls, mut plain, mut buffer) = (ours(role), BytesMut::new(), [0; 5000]);
        flush(&mut tls, &mut wire);
        while tls.is_handshaking() {
            let len = wire.read(&mut buffer).unwrap();
            tls.handle_wire(&buffer[..len], &mut plain);
            assert_eq!(tls.failure(), None, "{role:?}");
            assert_ne!(len, 0, "{role:?}");
            flush(&mut tls, &mut wire);
        }
        let mut exported = [0; 32];
        tls.export(LABEL, b"", &mut exported).unwrap();
        // They must have finished before we leave: their output ends with the expected line.
        let mut line = String::new();
        let theirs = loop {
            line.clear();
            assert_ne!(
                said.read_line(&mut line).unwrap(),
                0,
                "{role:?}: it says nothing of keys"
            );
            if let Some(theirs) = line.trim().strip_prefix("Keying material: ") {
                break theirs.to_lowercase();
            }
        };
        assert_eq!(theirs, hex(&exported), "{role:?}");
        tls.close();
        flush(&mut tls, &mut wire);
        drop(wire);
        drop(child.stdin.take());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
