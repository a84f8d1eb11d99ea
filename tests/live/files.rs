//! `xtls send` and `xtls receive`: offers, answers, resumption, and nothing wrong under a final name.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xtls_tests::live::person::Person;
use xtls_tests::live::program::Running;
use xtls_tests::live::server::Server;

/// A folder with files in it, by the person's own folder.
pub(crate) fn folder(person: &Person, name: &str) -> PathBuf {
    let path = person.file(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A file that nothing compresses.
pub(crate) fn file(path: &Path, size: usize, seed: u64) -> Vec<u8> {
    let mut octets = vec![0; size];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut octets);
    fs::write(path, &octets).unwrap();
    octets
}

pub(crate) async fn receiver(
    romeo: &Person,
    juliet: &Person,
    resource: &str,
    inbox: &Path,
    more: &[&str],
) -> Running {
    let accept = romeo.address().to_string();
    let mut running = juliet
        .online(&["receive", "--accept", &accept, "--resource", resource])
        .arg("--dir")
        .arg(inbox)
        .args(more)
        .start();
    running.event("invite").await;
    running
}

pub(crate) fn sender(romeo: &Person, juliet: &Person, resource: &str, files: &[&Path]) -> Running {
    let to = juliet.at(resource).to_string();
    romeo.online(&["send", &to]).args(files).start()
}

async fn a_folder_and_a_file(server: &Server) {
    let (romeo, juliet) = Person::pair(server);
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    let report = file(&out.join("report.pdf"), 300_000, 1);
    fs::create_dir_all(out.join("photos/old")).unwrap();
    for n in 0..20 {
        fs::write(out.join(format!("photos/{n}.txt")), format!("photo {n}")).unwrap();
    }
    fs::write(out.join("photos/old/empty"), "").unwrap();
    let receiver = receiver(&romeo, &juliet, "files-all", &inbox, &["--yes"]).await;
    let sender = sender(
        &romeo,
        &juliet,
        "files-all",
        &[&out.join("report.pdf"), &out.join("photos")],
    );
    let (sent, received) = (sender.end().await, receiver.end().await);
    sent.expect(0).silent();
    received.expect(0).silent();
    assert_eq!(fs::read(inbox.join("report.pdf")).unwrap(), report);
    assert_eq!(
        fs::read_to_string(inbox.join("photos/7.txt")).unwrap(),
        "photo 7"
    );
    assert!(inbox.join("photos/old/empty").exists());
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 2);
    let sum = sent.event("sent").unwrap();
    assert_eq!(
        (sum["failed"].as_u64(), sum["skipped"].as_u64()),
        (Some(0), Some(0))
    );
    assert_eq!(sum["bytes"], received.event("received").unwrap()["bytes"]);
}

#[tokio::test]
async fn files_and_folders_arrive() {
    a_folder_and_a_file(&Server::free()).await;
}

#[tokio::test]
async fn ejabberd_carries_files() {
    a_folder_and_a_file(&Server::ejabberd()).await;
}

#[tokio::test]
async fn nothing_is_taken_without_an_answer_and_nothing_is_sent_that_is_not_there() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    file(&out.join("report.pdf"), 1_000, 1);
    let receiver = receiver(&romeo, &juliet, "files-no", &inbox, &[]).await;
    let missing = sender(&romeo, &juliet, "files-no", &[&out.join("nowhere")])
        .end()
        .await;
    missing.expect(2).saying("nowhere");
    let sent = sender(&romeo, &juliet, "files-no", &[&out.join("report.pdf")])
        .end()
        .await;
    sent.expect(4).saying("the offer was declined");
    receiver.end().await.expect(4);
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 0);

    let nobody = sender(&romeo, &juliet, "files-no", &[&out.join("report.pdf")])
        .end()
        .await;
    nobody.expect(4);
    let wrong = juliet
        .program(&["receive", "--accept", "any", "--dir", "nowhere"])
        .run()
        .await;
    wrong.expect(2).saying("there is no folder nowhere");
}

#[tokio::test]
async fn nothing_is_overwritten_and_what_is_there_is_not_sent_again() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    let content = file(&out.join("report.pdf"), 50_000, 1);
    fs::write(inbox.join("report.pdf"), "mine").unwrap();
    let receiver = receiver(&romeo, &juliet, "files-again", &inbox, &["--yes", "--keep"]).await;
    sender(&romeo, &juliet, "files-again", &[&out.join("report.pdf")])
        .end()
        .await
        .expect(0);
    assert_eq!(
        fs::read_to_string(inbox.join("report.pdf")).unwrap(),
        "mine"
    );
    assert_eq!(fs::read(inbox.join("report (2).pdf")).unwrap(), content);
    receiver.interrupt().await;
    receiver.end().await.expect(130);
}

#[tokio::test]
async fn a_sender_waits_until_the_peer_is_there() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    let content = file(&out.join("report.pdf"), 5_000, 1);
    let to = juliet.at("files-wait").to_string();
    let mut sender = romeo
        .online(&["send", "--wait", &to])
        .arg(out.join("report.pdf"))
        .start();
    sender.event("waiting_for_peer").await;
    let receiver = receiver(&romeo, &juliet, "files-wait", &inbox, &["--yes"]).await;
    sender.end().await.expect(0);
    receiver.end().await.expect(0);
    assert_eq!(fs::read(inbox.join("report.pdf")).unwrap(), content);
}
