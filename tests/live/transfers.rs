//! `/send` in a chat: files to the other end of the conversation, and to nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::terminal::Terminal;

/// Two people at their terminals, and the folder where hers puts files.
struct Pair {
    romeo: Person,
    his: Terminal,
    hers: Terminal,
    inbox: PathBuf,
    _juliet: Person,
}

impl Pair {
    async fn new(resource: &str) -> Self {
        let (romeo, juliet) = Person::pair(&Server::free());
        let inbox = juliet.file("in");
        fs::create_dir(&inbox).unwrap();
        let accept = romeo.address();
        let listening = juliet
            .online(&["chat", "--listen", "--accept", accept.as_str()])
            .args(["--resource", resource])
            .arg("--dir")
            .arg(&inbox)
            .without_json();
        let mut hers = Terminal::run(&listening);
        hers.shows("listening as").await;
        let to = juliet.at(resource);
        let calling = romeo.online(&["chat", to.as_str()]).without_json();
        let mut his = Terminal::run(&calling);
        his.shows("juliet@localhost · verified> ").await;
        hers.shows("romeo@localhost · verified> ").await;
        Self {
            romeo,
            his,
            hers,
            inbox,
            _juliet: juliet,
        }
    }

    /// A file of his.
    fn file(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.romeo.file(name);
        fs::write(&path, octets).unwrap();
        path
    }

    fn offers(&self, path: &Path) {
        self.his.enters(&format!("/send {}", path.display()));
    }

    /// Waits until he sees this, wherever its lines are broken.
    async fn shows_him(&mut self, words: &str) -> String {
        let is_so = |text: &str| unbroken(text).contains(words);
        self.his.until(words, is_so).await
    }

    /// How many things she has been sent.
    fn taken(&self) -> usize {
        fs::read_dir(&self.inbox).unwrap().count()
    }
}

fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_without_a_yes_that_was_typed_after_the_question() {
    let mut pair = Pair::new("refused").await;
    let path = pair.file("report.pdf", b"paper");
    // Ahead of the question, and no answer to it.
    pair.hers.types("y");
    pair.hers.shows("verified> y").await;
    pair.offers(&path);
    pair.hers
        .shows("Put report.pdf, 5 B from romeo@localhost into")
        .await;
    // One at a time.
    pair.offers(&path);
    pair.shows_him("is still on its way").await;
    // What is neither a yes nor a no is asked again.
    pair.hers.enters("yes please");
    pair.hers.shows("Type yes or no.").await;
    assert_eq!(pair.taken(), 0);
    pair.hers.presses("Enter");
    pair.shows_him("report.pdf was not delivered").await;
    pair.shows_him("the offer was declined").await;
    pair.hers
        .shows("you declined the offer of romeo@localhost")
        .await;
    assert_eq!(pair.taken(), 0);
    // The line that she had begun is there again, and the chat goes on.
    pair.hers.shows("verified> y").await;
    pair.hers.enters("es, later");
    pair.his.shows("juliet@localhost: yes, later").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_named_and_the_chat_goes_on() {
    let mut pair = Pair::new("wrong").await;
    pair.his.enters("/send");
    pair.his.shows("name a file or a folder").await;
    pair.his.enters("/send 'report.pdf");
    pair.his.shows("a quotation mark is not closed").await;
    pair.offers(&pair.romeo.file("nowhere.txt"));
    pair.shows_him("nowhere.txt was not delivered").await;
    pair.shows_him("No such file").await;
    pair.his.enters("/send /dev/null");
    pair.shows_him("it is neither a file nor a folder").await;
    pair.hers.enters("still there?");
    pair.his.shows("juliet@localhost: still there?").await;
    pair.hers.presses("C-d");
    pair.his.ends_with(0).await;
    pair.hers.ends_with(0).await;
    assert_eq!(pair.taken(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_ends_with_the_conversation_and_says_so() {
    let mut pair = Pair::new("left").await;
    let path = pair.file("report.pdf", b"paper");
    pair.offers(&path);
    pair.hers.shows("Put report.pdf, 5 B").await;
    pair.his.presses("C-d");
    let text = pair.his.ends_with(0).await;
    assert!(
        unbroken(&text).contains("report.pdf was not delivered: the conversation has ended"),
        "{text}"
    );
    pair.hers.shows("nothing was taken").await;
    pair.hers
        .until("the end of the conversation", |text| {
            text.contains("is over\n") && text.trim_end().ends_with("(no one)>")
        })
        .await;
    pair.hers.enters("/send report.pdf");
    pair.hers.shows("not sent: no one is connected").await;
    assert_eq!(pair.taken(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_takes_files_from_nobody_but_its_peer() {
    let server = Server::free();
    let (romeo, juliet) = Person::pair(&server);
    let path = romeo.file("report.pdf");
    fs::write(&path, "paper").unwrap();
    let accept = romeo.address();
    let mut hers = juliet
        .online(&["chat", "--listen", "--accept", accept.as_str()])
        .args(["--resource", "nobody"])
        .start();
    hers.event("listening").await;
    let to = juliet.at("nobody");
    let send = || romeo.online(&["send", to.as_str()]).arg(&path).run();
    send()
        .await
        .expect(4)
        .saying("from the other end of the conversation only");
    hers.event("declined").await;
    let mut his = romeo.online(&["chat", to.as_str()]).start();
    his.event("established").await;
    hers.event("established").await;
    // His other client is somebody else.
    send().await.expect(4).saying("try again in");
    his.say("hello\n").await;
    assert_eq!(hers.text().await, "hello");
    his.end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_takes_no_files_is_named_and_the_conversation_goes_on() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    let mut hers = juliet
        .listen("stanzas", "bot", &["--accept", accept.as_str()])
        .await;
    let to = juliet.at("bot");
    let calling = romeo.online(&["chat", to.as_str()]).without_json();
    let mut his = Terminal::run(&calling);
    his.shows("juliet@localhost · verified> ").await;
    hers.event("established").await;
    let path = romeo.file("report.pdf");
    fs::write(&path, "paper").unwrap();
    his.enters(&format!("/send {}", path.display()));
    let words = "their program takes no files";
    his.until(words, |text| unbroken(text).contains(words))
        .await;
    his.enters("still there?");
    assert!(hers.text().await.contains("still there?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_go_both_ways_while_people_type() {
    let mut pair = Pair::new("both").await;
    let path = pair.file("my photo.jpg", &[7; 300_000]);
    pair.offers(&path);
    pair.hers.types("half a li");
    pair.hers
        .shows("Put my photo.jpg, 300.00 kB from romeo@localhost into")
        .await;
    pair.hers.enters("y");
    pair.his.shows("my photo.jpg: 300.00 kB, delivered").await;
    pair.hers
        .shows("my photo.jpg: 300.00 kB from romeo@localhost, in")
        .await;
    assert_eq!(
        fs::read(pair.inbox.join("my photo.jpg")).unwrap(),
        [7; 300_000]
    );
    // The other way: who calls can be sent files too, and where they go is the current folder.
    let photos = pair.inbox.join("photos");
    fs::create_dir(&photos).unwrap();
    for name in ["a", "b"] {
        fs::write(photos.join(name), name).unwrap();
    }
    pair.hers.presses("C-u");
    pair.hers.enters(&format!("/send '{}'", photos.display()));
    pair.his
        .shows("Put photos (2 files, 2 B) from juliet@localhost into this folder")
        .await;
    pair.his.enters("y");
    pair.hers.shows("photos: 2 files, 2 B, delivered").await;
    pair.his.shows("photos: 2 files, 2 B from juliet").await;
    let b = pair.his.file("photos").join("b");
    assert_eq!(fs::read_to_string(b).unwrap(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_stays_above_the_line_being_typed_and_a_cut_keeps_what_has_come() {
    let mut pair = Pair::new("cut").await;
    let path = pair.romeo.file("big");
    crate::files::file(&path, 20_000_000, 1);
    pair.offers(&path);
    pair.hers.shows("Put big, 20.00 MB").await;
    pair.hers.enters("y");
    pair.his.types("half a li");
    pair.his
        .until("the row above the line", |text| {
            let Some((_, below)) = text.rsplit_once("sending big: ") else {
                return false;
            };
            let mut rows = below.lines();
            rows.next()
                .is_some_and(|row| row.contains(" % of 20.00 MB"))
                && rows.next() == Some("juliet@localhost · verified> half a li")
        })
        .await;
    pair.hers.shows("receiving big: ").await;
    pair.his.presses("C-c");
    pair.shows_him("big was not delivered: the conversation has ended")
        .await;
    pair.his.ends_with(130).await;
    pair.hers
        .until("what becomes of it", |text| {
            let text = unbroken(text);
            text.contains("is kept") && text.contains("is over (no one)>")
        })
        .await;
    assert!(!pair.inbox.join("big").exists());
    assert_eq!(pair.taken(), 1, "what has come is kept");
}
