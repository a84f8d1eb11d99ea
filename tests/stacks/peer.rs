//! A process with a third-party TLS stack, the socket to it, and our adapter at the near end.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;
use tempfile::TempDir;
use xtls_tests::keys;
use xtls_tests::live::PATIENCE;
use xtls_tls::{Config, Expectations, Role, Tls, default_provider, trust};

/// The two ends: ours, and the one of the other stack.
pub(crate) const OURS: &str = "juliet@capulet.example";
pub(crate) const THEIRS: &str = "romeo@montague.example";
pub(crate) const ALPN: &str = "xtls-bytes;interop";

/// The seed of our key.
pub(crate) const KEY: u8 = 7;

/// The most bytes handed to the socket at a time: a chunk that every server accepts.
const CHUNK: usize = 4096;

/// Whose TLS stack the other end uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    GnuTls,
    OpenSsl,
}

pub(crate) const STACKS: [Stack; 2] = [Stack::GnuTls, Stack::OpenSsl];
pub(crate) const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// What every test of this process shares: the compiled peer, and certificates that OpenSSL has made.
struct Workshop {
    folder: TempDir,
    /// How many certificates were made.
    made: AtomicUsize,
}

static WORKSHOP: LazyLock<Workshop> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("gnutls.c");
    std::fs::write(&source, include_str!("gnutls.c")).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let built = Command::new(compiler)
        .args(["-O2", "-std=gnu99", "-o"])
        .args([&folder.path().join("gnutls"), &source])
        .arg("-lgnutls")
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "GnuTLS is the other end here: please install a C compiler and its headers (Debian: gcc, libgnutls28-dev)"
    );
    std::fs::write(folder.path().join("openssl.py"), include_str!("openssl.py")).unwrap();
    let made = AtomicUsize::new(0);
    Workshop { folder, made }
});

/// The kinds of key that the other end can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ed25519,
    P256,
    Rsa,
    /// Not a kind: our own key, and a certificate of it.
    Ours,
}

impl Workshop {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate and key of that kind that name `jid`, made by OpenSSL's command.
    fn certificate(&self, kind: Kind, jid: &str) -> (PathBuf, PathBuf) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let file = |what: &str| self.path(&format!("{what}{number}.pem"));
        let (certificate, key) = (file("certificate"), file("key"));
        let algorithm: &[&str] = match kind {
            Kind::Ours => {
                let pem = keys::identity(jid, KEY).to_pem();
                std::fs::write(&key, &*pem).unwrap();
                std::fs::write(
                    &certificate,
                    &pem[pem.find("-----BEGIN CERTIFICATE").unwrap()..],
                )
                .unwrap();
                return (certificate, key);
            }
            Kind::Ed25519 => &["ed25519"],
            Kind::P256 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::Rsa => &["rsa:2048"],
        };
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=x", "-newkey",
            ])
            .args(algorithm)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .arg("-addext")
            .arg(format!(
                "subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:{jid}"
            ))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        (certificate, key)
    }
}

/// What the other end is and does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) stack: Stack,
    /// The names used by `gnutls.c` and `openssl.py`.
    pub(crate) mode: &'static str,
    pub(crate) kind: Kind,
    pub(crate) jid: &'static str,
    pub(crate) alpn: &'static str,
    /// For GnuTLS: versions, groups and the like.
    pub(crate) priority: &'static str,
}

impl Script {
    pub(crate) fn new(stack: Stack, mode: &'static str) -> Self {
        Self {
            stack,
            mode,
            kind: Kind::Ed25519,
            jid: THEIRS,
            alpn: ALPN,
            priority: "NORMAL",
        }
    }

    /// Starts the other end; `role` is ours. `edit` may change our configuration.
    pub(crate) fn start(
        self,
        role: Role,
        edit: impl FnOnce(Config, &mut Expectations) -> Config,
    ) -> Talk {
        let workshop = &*WORKSHOP;
        let identity = keys::identity(OURS, KEY);
        let ours = workshop.path("ours.pem");
        let pem = identity.to_pem();
        let at = pem.find("-----BEGIN CERTIFICATE").unwrap();
        std::fs::write(&ours, &pem[at..]).unwrap();
        let theirs = match role {
            Role::Client => "server",
            Role::Server => "client",
        };
        let (certificate, key) = workshop.certificate(self.kind, self.jid);
        let last: &Path = match self.stack {
            Stack::GnuTls => self.priority.as_ref(),
            Stack::OpenSsl => &ours,
        };
        let mut command = match self.stack {
            Stack::GnuTls => Command::new(workshop.path("gnutls")),
            Stack::OpenSsl => Command::new("python3"),
        };
        if self.stack == Stack::OpenSsl {
            command.arg(workshop.path("openssl.py"));
        }
        command.arg(theirs).args([&certificate, &key]);
        command.args([self.alpn, self.mode]).arg(last);

        let mut expect = expect();
        let config = edit(config(), &mut expect);
        let tls = Tls::new(role, &config, expect).unwrap();
        Talk::start(tls, command)
    }
}

/// Certificate and key of the other end, as files.
pub(crate) fn certificate(kind: Kind, jid: &str) -> (PathBuf, PathBuf) {
    WORKSHOP.certificate(kind, jid)
}

/// Our end, which expects the other one.
pub(crate) fn ours(role: Role) -> Tls {
    Tls::new(role, &config(), expect()).unwrap()
}

fn config() -> Config {
    keys::tls(keys::identity(OURS, KEY), default_provider())
}

fn expect() -> Expectations {
    let mut expect = Expectations::new(OURS, THEIRS, trust::Store::new(), trust::Policy::Tofu);
    expect.alpn = ALPN.as_bytes().to_vec();
    expect.alpn_required = true;
    expect
}

/// Our adapter, and the process at the other end of the socket.
pub(crate) struct Talk {
    pub(crate) tls: Tls,
    pub(crate) plain: BytesMut,
    wire: UnixStream,
    incoming: Receiver<Vec<u8>>,
    child: Child,
    said: JoinHandle<BTreeMap<String, String>>,
}

impl Talk {
    fn start(tls: Tls, mut command: Command) -> Self {
        let (wire, theirs) = UnixStream::pair().unwrap();
        let mut child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command holds a copy of their end, and the wire must end when the process does.
        drop(command);
        let said = BufReader::new(child.stderr.take().unwrap());
        let said = thread::spawn(move || {
            let words = said.lines().map_while(Result::ok);
            let pairs = words.filter_map(|line| {
                let (name, value) = line.split_once(' ')?;
                Some((name.to_owned(), value.to_owned()))
            });
            pairs.collect()
        });
        let (sender, incoming) = mpsc::channel();
        let mut reading = wire.try_clone().unwrap();
        // Always continues to read, so that neither end can wait for the other while both write.
        thread::spawn(move || {
            let mut buffer = vec![0; 30_000];
            loop {
                match reading.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(len) if sender.send(buffer[..len].to_vec()).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        let plain = BytesMut::new();
        Self {
            tls,
            plain,
            wire,
            incoming,
            child,
            said,
        }
    }

    /// Puts pending bytes on the wire. A process that is gone accepts no more.
    pub(crate) fn flush(&mut self) {
        while let Some(bytes) = self.tls.poll_wire(CHUNK) {
            match self.wire.write_all(&bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes the next bytes from the wire, or its end.
    pub(crate) fn read(&mut self) {
        self.flush();
        match self.incoming.recv_timeout(PATIENCE) {
            Ok(bytes) => self.tls.handle_wire(&bytes, &mut self.plain),
            Err(RecvTimeoutError::Disconnected) => self.tls.handle_wire_end(),
            Err(RecvTimeoutError::Timeout) => panic!("the other end says nothing"),
        }
        self.flush();
    }

    /// Reads until the other direction has ended, properly or not.
    pub(crate) fn read_to_end(&mut self) {
        while !self.tls.peer_closed() && self.tls.failure().is_none() {
            self.read();
        }
    }

    /// Finishes the handshake, or fails at it.
    pub(crate) fn handshake(&mut self) {
        self.flush();
        while self.tls.is_handshaking() && self.tls.failure().is_none() {
            self.read();
        }
    }

    /// Ends the wire toward the process, without sending anything.
    pub(crate) fn cut(&mut self) {
        self.wire.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the wire, waits for the process, and returns its output and our end.
    pub(crate) fn finish(mut self) -> (Tls, BTreeMap<String, String>) {
        self.flush();
        let _ = self.wire.shutdown(Shutdown::Write);
        self.child.wait().unwrap();
        let said = self.said.join().unwrap();
        (self.tls, said)
    }
}
