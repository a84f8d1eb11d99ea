//! `xtls pipe`: bytes both ways, ends that travel, and a proof of the last byte.

use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Running, end_both};
use xtls_tests::live::server::Server;

/// A line that says how much there is of it.
fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|n| format!("{n:07}\n").into_bytes())
        .collect()
}

async fn call(romeo: &Person, juliet: &Person, resource: &str, more: &[&str]) -> Running {
    let to = juliet.at(resource).to_string();
    let mut running = romeo.online(&["pipe", &to]).args(more).start();
    running.event("established").await;
    running
}

async fn listen(romeo: &Person, juliet: &Person, resource: &str, more: &[&str]) -> Running {
    let accept = romeo.address().to_string();
    let all = [&["--accept", accept.as_str()], more].concat();
    juliet.listen("pipe", resource, &all).await
}

async fn both_ways(server: &Server) {
    let (romeo, juliet) = Person::pair(server);
    let mut listener = listen(&romeo, &juliet, "pipe-both", &[]).await;
    let mut caller = call(&romeo, &juliet, "pipe-both", &[]).await;
    caller.say("one\n").await;
    assert_eq!(listener.text().await, "one");
    // The caller has ended; the listener goes on.
    caller.hush();
    listener.say("two\n").await;
    assert_eq!(caller.text().await, "two");
    listener.say(lines(20_000)).await;
    let [caller, listener] = end_both(caller, listener).await;
    caller.expect(0);
    listener.expect(0);
    assert_eq!(caller.output.len(), 20_000);
    let piped = listener.event("piped").unwrap();
    assert_eq!(
        (piped["sent"].as_u64(), piped["taken"].as_u64()),
        (Some(160_004), Some(160_004))
    );
    assert_eq!(piped["received"], 4);
}

#[tokio::test]
async fn an_end_travels_and_the_other_direction_goes_on() {
    both_ways(&Server::free()).await;
}

#[tokio::test]
async fn ejabberd_carries_a_pipe() {
    both_ways(&Server::ejabberd()).await;
}

#[tokio::test]
async fn a_cut_pipe_is_told_as_one_at_both_ends() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = listen(&romeo, &juliet, "pipe-cut", &[]).await;
    let mut caller = call(&romeo, &juliet, "pipe-cut", &[]).await;
    caller.say("half of it\n").await;
    assert_eq!(listener.text().await, "half of it");
    caller.interrupt().await;
    let caller = caller.end().await;
    caller.expect(130);
    let listener = listener.end().await;
    listener.expect(6).saying("may be missing");
    assert!(listener.output.is_empty());
}

#[tokio::test]
async fn a_reader_that_has_gone_is_an_error_at_both_ends() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = listen(&romeo, &juliet, "pipe-gone", &[]).await;
    let mut caller = call(&romeo, &juliet, "pipe-gone", &[]).await;
    caller.say("one\n").await;
    assert_eq!(listener.text().await, "one");
    listener.stop_reading();
    let mut input = caller.take_input();
    // It fails as soon as the caller has ended.
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while input.write_all(&lines(10_000)).await.is_ok() {}
    });
    let caller = caller.end().await;
    caller.expect(4).saying("the peer's reader has gone away");
    writing.await.unwrap();
    listener
        .end()
        .await
        .expect(1)
        .saying("not all of what the peer sent was written");
}

#[tokio::test]
async fn a_pipe_goes_one_way_if_it_is_asked_to() {
    let (romeo, juliet) = Person::pair(&Server::free());
    // The listener has something to say that the caller does not wait for.
    let mut listener = listen(&romeo, &juliet, "pipe-n", &[]).await;
    let mut caller = call(&romeo, &juliet, "pipe-n", &["-N"]).await;
    caller.say("all\n").await;
    let caller = caller.end().await;
    caller.expect(0);
    assert_eq!(listener.text().await, "all");
    listener.end().await.expect(0);

    // Neither waits for what the other may not send.
    let mut listener = listen(&romeo, &juliet, "pipe-n", &["--recv-only"]).await;
    let mut caller = call(&romeo, &juliet, "pipe-n", &["--send-only"]).await;
    caller.say("again\n").await;
    assert_eq!(listener.text().await, "again");
    let [caller, listener] = end_both(caller, listener).await;
    caller.expect(0);
    listener.expect(0);
}

#[tokio::test]
async fn a_command_runs_for_each_caller_and_its_exit_travels() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address().to_string();
    let script = "printf '%s\\n' \"$XTLS_PEER\"; wc -c; exit \"$XTLS_TEST_EXIT\"";
    let mut listener = juliet
        .online(&[
            "pipe",
            "--listen",
            "--resource",
            "pipe-cmd",
            "--accept",
            &accept,
        ])
        .variable("XTLS_TEST_EXIT", "3")
        .args(["--", "sh", "-c", script])
        .start();
    listener.event("listening").await;
    for _ in 0..2 {
        let mut caller = call(&romeo, &juliet, "pipe-cmd", &[]).await;
        caller.say("abcd").await;
        let caller = caller.end().await;
        caller.expect(1).saying("exited with code 3");
        let said = caller.text();
        assert!(said.starts_with(romeo.address().as_str()), "{said}");
        assert!(said.trim_end().ends_with('4'), "{said}");
        assert_eq!(caller.event("piped").unwrap()["exit"], 3);
    }
    listener.signal("TERM").await;
    listener.end().await.expect(130);
}

#[tokio::test]
async fn a_command_is_ended_when_its_caller_is_cut() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address().to_string();
    let mark = juliet.file("ended");
    let script =
        "trap 'touch \"$1\"; exit' TERM; echo ready; while :; do read -r line || sleep 0.1; done";
    let mut listener = juliet
        .online(&[
            "pipe",
            "--listen",
            "--once",
            "--resource",
            "pipe-end",
            "--accept",
            &accept,
        ])
        .args(["--", "sh", "-c", script, "sh"])
        .arg(&mark)
        .start();
    listener.event("listening").await;
    let mut caller = call(&romeo, &juliet, "pipe-end", &[]).await;
    assert_eq!(caller.text().await, "ready");
    caller.interrupt().await;
    caller.end().await.expect(130);
    listener.end().await.expect(6);
    assert!(mark.exists());
}

/// A listener whose command keeps what it reads, and leaves a mark if that has ended.
async fn keeping(romeo: &Person, juliet: &Person, resource: &str) -> Running {
    let accept = romeo.address().to_string();
    let mut listener = juliet
        .online(&["pipe", "--listen", "--once", "--resource", resource])
        .args(["--accept", &accept])
        .args(["--", "sh", "-c"])
        .arg("echo ready; cat > \"$1\" && mv \"$1\" \"$2\"")
        .arg("sh")
        .args([juliet.file("part"), juliet.file("whole")])
        .start();
    listener.event("listening").await;
    listener
}

#[tokio::test]
async fn a_command_does_not_take_a_cut_for_an_end() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = keeping(&romeo, &juliet, "pipe-part").await;
    let mut caller = call(&romeo, &juliet, "pipe-part", &[]).await;
    assert_eq!(caller.text().await, "ready");
    caller.say("half of it\n").await;
    caller.interrupt().await;
    caller.end().await.expect(130);
    listener.end().await.expect(6);
    assert!(!juliet.file("whole").exists());
}

#[tokio::test]
async fn a_command_does_not_take_the_end_of_its_listener_for_that_of_its_input() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = keeping(&romeo, &juliet, "pipe-kept").await;
    let mut caller = call(&romeo, &juliet, "pipe-kept", &[]).await;
    assert_eq!(caller.text().await, "ready");
    caller.say("half of it\n").await;
    listener.signal("TERM").await;
    listener.end().await.expect(130);
    caller.end().await.expect(6);
    assert!(!juliet.file("whole").exists());
}

#[tokio::test]
async fn a_caller_for_something_else_is_not_piped() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = listen(&romeo, &juliet, "pipe-else", &[]).await;
    let to = juliet.at("pipe-else").to_string();
    let caller = romeo.online(&["stanzas", &to]).run().await;
    caller.expect(5).saying("do both ends run the same verb?");
    listener.interrupt().await;
    listener.end().await.expect(130).silent();
}
