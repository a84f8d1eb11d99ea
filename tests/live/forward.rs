//! `xtls forward`: TCP connections through a tunnel, as ssh forwards them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::Running;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use xtls_tests::live::switch::Switch;

/// A server on loopback, and what keeps it.
async fn tcp<F: Future<Output = ()> + Send + 'static>(
    serve: fn(TcpStream) -> F,
) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(serve(socket));
        }
    });
    (at, tasks)
}

/// Answers one request with its path.
async fn web(mut socket: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let answer = format!(
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
        path.len()
    );
    // Whoever asked may have gone.
    drop(socket.write_all(answer.as_bytes()).await);
}

/// Says how much it was sent, once that has ended.
async fn count(mut socket: TcpStream) {
    let mut bytes = Vec::new();
    if socket.read_to_end(&mut bytes).await.is_ok() {
        drop(socket.write_all(bytes.len().to_string().as_bytes()).await);
    }
}

async fn echo(mut socket: TcpStream) {
    let (mut from, mut to) = socket.split();
    drop(tokio::io::copy(&mut from, &mut to).await);
    drop(to.shutdown().await);
}

/// What a web server says about a path.
async fn get(mut socket: TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", socket.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    body.to_owned()
}

async fn connect(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.unwrap()
}

/// Through a SOCKS5 proxy, by name; the proxy's code if it refuses.
async fn connect_by(proxy: SocketAddr, name: &str, port: u16) -> Result<TcpStream, u8> {
    let mut socket = connect(proxy).await;
    socket.write_all(&[5, 1, 0]).await.unwrap();
    let mut chosen = [0; 2];
    socket.read_exact(&mut chosen).await.unwrap();
    assert_eq!(chosen, [5, 0]);
    let mut request = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
    request.extend(name.bytes());
    request.extend(port.to_be_bytes());
    socket.write_all(&request).await.unwrap();
    let mut answer = [0; 10];
    soon("the proxy's answer", socket.read_exact(&mut answer))
        .await
        .unwrap();
    match answer[1] {
        0 => Ok(socket),
        code => Err(code),
    }
}

async fn serve(romeo: &Person, juliet: &Person, resource: &str, more: &[&str]) -> Running {
    let accept = romeo.address().to_string();
    let mut running = juliet
        .online(&["forward", "--serve", "--resource", resource])
        .args(["--accept", &accept])
        .args(more)
        .start();
    running.event("serving").await;
    running
}

/// The next forward of a kind, and where it listens.
async fn forwarding(running: &mut Running, kind: &str) -> SocketAddr {
    loop {
        let event = running.event("forwarding").await;
        if event["kind"] == kind {
            return event["at"].as_str().unwrap().parse().unwrap();
        }
    }
}

/// A forward to this address, through a server that allows it.
async fn through(
    server: &Server,
    resource: &str,
    to: SocketAddr,
) -> (Running, Running, SocketAddr) {
    let (romeo, juliet) = Person::pair(server);
    let serving = serve(&romeo, &juliet, resource, &["--allow", &to.to_string()]).await;
    let peer = juliet.at(resource);
    let mut forward = romeo
        .online(&["forward", "-L", &format!("0:{to}"), peer.as_str()])
        .start();
    let at = forwarding(&mut forward, "local").await;
    (forward, serving, at)
}

async fn every_kind(server: &Server) {
    let (romeo, juliet) = Person::pair(server);
    let (at, _web) = tcp(web).await;
    let port = at.port();
    let allow = format!("localhost:{port}");
    let allowed = ["--allow", &allow, "--allow-bind", "0"];
    let mut serving = serve(&romeo, &juliet, "fwd-kinds", &allowed).await;
    let rules = [format!("0:localhost:{port}"), format!("0:{at}")];
    let peer = juliet.at("fwd-kinds");
    let mut forward = romeo
        .online(&["forward", "-L", &rules[0], "-D", "0", peer.as_str()])
        .args(["-R", &rules[1]])
        .start();
    let local = forwarding(&mut forward, "local").await;
    let proxy = forwarding(&mut forward, "dynamic").await;
    let remote = forwarding(&mut forward, "remote").await;
    assert!(local.ip().is_loopback() && proxy.ip().is_loopback() && remote.ip().is_loopback());
    let listening = serving.event("listening_for").await;
    assert_eq!(listening["at"], remote.to_string());

    assert_eq!(get(connect(local).await, "/local").await, "/local");
    let dynamic = connect_by(proxy, "localhost", port).await.unwrap();
    assert_eq!(get(dynamic, "/dynamic").await, "/dynamic");
    assert_eq!(get(connect(remote).await, "/remote").await, "/remote");
    let closed = forward.event("connection_closed").await;
    assert_eq!(closed["how"], "ended");

    forward.interrupt().await;
    forward.end().await.expect(130).silent();
    let closed = serving.event("closed").await;
    assert_eq!(
        (&closed["why"], &closed["clean"]),
        (&"closed in order".into(), &true.into())
    );
    serving.signal("TERM").await;
    serving.end().await.expect(130).silent();
    assert!(TcpStream::connect(remote).await.is_err());
}

#[tokio::test]
async fn every_kind_of_forward_leads_where_it_says() {
    every_kind(&Server::free()).await;
}

#[tokio::test]
async fn ejabberd_carries_forwards() {
    every_kind(&Server::ejabberd()).await;
}

#[tokio::test]
async fn what_is_not_allowed_is_not_reached_and_both_ends_are_told() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (at, _web) = tcp(web).await;
    let allowed = ["--allow", "*:*", "--allow-bind", "127.0.0.1:9"];
    let mut serving = serve(&romeo, &juliet, "fwd-denied", &allowed).await;
    let peer = juliet.at("fwd-denied");
    let rule = format!("0:{at}");
    let mut forward = romeo
        .online(&["forward", "-L", &rule, "-D", "0", peer.as_str()])
        .start();
    let local = forwarding(&mut forward, "local").await;
    let proxy = forwarding(&mut forward, "dynamic").await;
    let mut socket = connect(local).await;
    let read = soon("a reset", socket.read_to_end(&mut Vec::new())).await;
    read.unwrap_err();
    for end in [&mut forward, &mut serving] {
        let refused = end.event("connection_refused").await;
        assert_eq!(
            (&refused["why"], &refused["to"]),
            (&"denied".into(), &at.to_string().into())
        );
    }
    // A name that leads to what is not allowed.
    let refused = connect_by(proxy, "localhost", at.port()).await;
    assert_eq!(refused.unwrap_err(), 2);
    assert_eq!(
        forward.event("connection_refused").await["to"],
        format!("localhost:{}", at.port())
    );
    forward.interrupt().await;
    forward.end().await.expect(130);

    let forward = romeo.online(&["forward", "-R", &rule, peer.as_str()]);
    let forward = forward.run().await;
    forward.expect(4).saying("--allow-bind localhost:0");
    let refused = serving.event("listen_refused").await;
    assert_eq!(refused["why"], "denied");
}

#[tokio::test]
async fn an_end_travels_through_a_forward_and_the_other_direction_goes_on() {
    let (to, _count) = tcp(count).await;
    let (_forward, _serving, at) = through(&Server::free(), "fwd-half", to).await;
    let mut socket = connect(at).await;
    socket.write_all(&[7; 100_000]).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    soon("the count", socket.read_to_string(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, "100000");
}

#[tokio::test]
async fn sixteen_connections_go_through_one_tunnel_at_once() {
    const BYTES: usize = 200_000;
    let (to, _echo) = tcp(echo).await;
    let (_forward, _serving, at) = through(&Server::free(), "fwd-many", to).await;
    let mut all = JoinSet::new();
    for n in 0..16_u8 {
        all.spawn(async move {
            let (mut from, mut to) = connect(at).await.into_split();
            let sent: Vec<u8> = (0..BYTES)
                .map(|at| n.wrapping_add((at % 251) as u8))
                .collect();
            let bytes = sent.clone();
            let writing = tokio::spawn(async move {
                to.write_all(&bytes).await.unwrap();
                to.shutdown().await.unwrap();
            });
            let mut received = Vec::new();
            soon("the echo", from.read_to_end(&mut received))
                .await
                .unwrap();
            writing.await.unwrap();
            assert!(received == sent, "connection {n}");
        });
    }
    assert_eq!(all.join_all().await.len(), 16);
}

/// A reset, which nobody takes for an end.
async fn is_reset(socket: &mut TcpStream) {
    let read = soon("a reset", socket.read_to_end(&mut Vec::new())).await;
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn a_machine_behind_two_firewalls_is_reached() {
    // No sshd, but what speaks first, as it does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    for stopped in ["forward", "serve"] {
        let resource = format!("fwd-ssh-{stopped}");
        let (forward, serving, at) = through(&Server::free(), &resource, to).await;
        let mut client = connect(at).await;
        let (mut sshd, _) = listener.accept().await.unwrap();
        sshd.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
        let mut greeting = [0; 17];
        soon("a greeting", client.read_exact(&mut greeting))
            .await
            .unwrap();
        assert_eq!(&greeting, b"SSH-2.0-OpenSSH\r\n");
        client.write_all(b"SSH-2.0-client\r\n").await.unwrap();
        soon("an answer", sshd.read_exact(&mut [0; 16]))
            .await
            .unwrap();
        // What is cut is no end, at either end.
        let stopping = if stopped == "serve" { serving } else { forward };
        stopping.signal("TERM").await;
        is_reset(&mut client).await;
        is_reset(&mut sshd).await;
        stopping.end().await.expect(130);
    }
}

#[tokio::test]
async fn a_peer_that_comes_back_is_called_again() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (to, _web) = tcp(web).await;
    let allow = to.to_string();
    let peer = juliet.at("fwd-again");
    let rule = format!("0:{to}");
    let mut forward = romeo
        .online(&["forward", "--wait", "-L", &rule, peer.as_str()])
        .start();
    forward.event("waiting_for_peer").await;
    let serving = serve(&romeo, &juliet, "fwd-again", &["--allow", &allow]).await;
    let at = forwarding(&mut forward, "local").await;
    assert_eq!(get(connect(at).await, "/one").await, "/one");

    let mut cut = connect(at).await;
    forward.event("connection_opened").await;
    serving.interrupt().await;
    serving.end().await.expect(130);
    let lost = forward.event("tunnel_lost").await;
    assert_eq!(lost["why"], "the peer has left");
    let read = soon("a reset", cut.read_to_end(&mut Vec::new())).await;
    read.unwrap_err();

    // This one waits for the next tunnel.
    let waiting = connect(at).await;
    let serving = serve(&romeo, &juliet, "fwd-again", &["--allow", &allow]).await;
    forward.event("tunnel_back").await;
    assert_eq!(get(waiting, "/two").await, "/two");
    // A client that is killed is waited for by its server, and not absent.
    serving.interrupt().await;
    serving.end().await.expect(130);
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_an_error_at_once() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let peer = juliet.at("fwd-nobody");
    let forward = romeo.online(&["forward", "-D", "0", peer.as_str()]);
    let ended = forward.run().await;
    ended.expect(4);
    ended.saying("is `xtls forward --serve` running there");
    ended.saying("--wait");
}

#[tokio::test]
async fn forwards_go_on_after_the_server_was_killed() {
    let server = Server::quiet();
    let (to, _web) = tcp(web).await;
    let (mut forward, _serving, at) = through(&server, "fwd-kill", to).await;
    assert_eq!(get(connect(at).await, "/one").await, "/one");
    let mut switch = Switch::of(&server);
    switch.kill().await;
    switch.start().await;
    // The tunnel outlives both links; a relay is gone before the link is.
    forward.event("path_lost").await;
    forward.event("path").await;
    assert_eq!(get(connect(at).await, "/two").await, "/two");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (taken, _web) = tcp(web).await;
    let rule = format!("{}:localhost:80", taken.port());
    let peer = juliet.at("fwd-taken");
    let forward = romeo.online(&["forward", "-L", &rule, peer.as_str()]);
    let what = format!("port {} is taken", taken.port());
    forward.run().await.expect(1).saying(&what);
}

#[tokio::test]
async fn a_stranger_is_not_called_again() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    juliet.verify(&romeo);
    let _serving = serve(&romeo, &juliet, "fwd-who", &["--allow", "*:*"]).await;
    let peer = juliet.at("fwd-who");
    let forward = romeo.online(&["forward", "--wait", "-D", "0", peer.as_str()]);
    forward.run().await.expect(5).saying("pin it");
}
