//! The program on a terminal of 24 × 80, as a person uses it.

use std::time::{Duration, Instant};

use xtls_tests::live::person::Person;
use xtls_tests::live::program::Program;
use xtls_tests::live::server::Server;
use xtls_tests::live::terminal::Terminal;

/// The program as people run it, without JSON events.
fn person(person: &Person, args: &[&str]) -> Program {
    person.online(args).without_json()
}

/// Juliet listens on a terminal.
async fn listener(juliet: &Person, verb: &str, resource: &str, more: &[&str]) -> Terminal {
    let program = person(juliet, &[verb, "--listen", "--resource", resource]).args(more);
    let mut terminal = Terminal::run(&program);
    terminal.shows("listening as").await;
    terminal
}

fn caller(romeo: &Person, juliet: &Person, verb: &str, resource: &str, more: &[&str]) -> Program {
    person(romeo, &[verb, juliet.at(resource).as_str()]).args(more)
}

/// A chat between two terminals.
async fn chat(romeo: &Person, juliet: &Person, resource: &str) -> [Terminal; 2] {
    let accept = romeo.address();
    let mut hers = listener(juliet, "chat", resource, &["--accept", accept.as_str()]).await;
    let mut his = Terminal::run(&caller(romeo, juliet, "chat", resource, &[]));
    his.shows("their key is verified").await;
    hers.shows("their key is verified").await;
    [his, hers]
}

/// Waits until Romeo has left her and she is asked for nothing but the next call. Her first prompt, from before his call,
/// may still be visible: only one below the end of the conversation counts.
async fn no_one_is_left(hers: &mut Terminal) {
    let is_so = |text: &str| {
        let (_, below) = text.split_once("is over\n")?;
        below.starts_with("(no one)> ").then_some(())
    };
    hers.until("the prompt below the conversation", |text| {
        is_so(text).is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_and_the_line_being_typed_stays_below_what_arrives() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [mut his, mut hers] = chat(&romeo, &juliet, "talk").await;
    his.shows("juliet@localhost · verified> ").await;
    his.types("half a li");
    his.shows("juliet@localhost · verified> half a li").await;
    hers.enters("è arrivato 漢字 while you type");
    his.until("the message above the line", |text| {
        text.contains(
            "juliet@localhost: è arrivato 漢字 while you type\njuliet@localhost · verified> half a li\n",
        )
    })
    .await;
    his.enters("ne");
    hers.shows("romeo@localhost: half a line").await;
    // A delivered line is no longer marked as under way.
    his.until("the mark to go", |text| {
        text.contains("you: half a line") && !text.contains("… half a line")
    })
    .await;
    let shown = hers.text();
    let line = shown.lines().find(|row| row.contains("half a line"));
    let digits = line.unwrap().replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(digits, "00:00 romeo@localhost: half a line");
    his.presses("C-d");
    let text = hers.shows("romeo@localhost has left").await;
    assert!(!text.contains("warning"), "{text}");
    his.ends_with(0).await;
    hers.presses("C-d");
    hers.ends_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_writing_is_shown_to_those_who_have_asked() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    let more = ["--accept", accept.as_str(), "--chat-states"];
    let mut hers = listener(&juliet, "chat", "states", &more).await;
    let mut his = Terminal::run(&caller(
        &romeo,
        &juliet,
        "chat",
        "states",
        &["--chat-states"],
    ));
    his.shows("juliet@localhost · verified> ").await;
    hers.shows("romeo@localhost · verified> ").await;
    // Each learns from the first message that the other knows them.
    hers.enters("hello");
    his.shows("juliet@localhost: hello").await;
    his.types("half a li");
    hers.shows("romeo@localhost · verified · writing …> ").await;
    his.enters("ne");
    let text = hers.shows("romeo@localhost: half a line").await;
    assert_eq!(text.matches("half a").count(), 1, "{text}");
    hers.until("that he has written", |text| {
        text.trim_end().ends_with("romeo@localhost · verified>")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_line_leaves_a_long_line_of_wide_letters_whole() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [mut his, mut hers] = chat(&romeo, &juliet, "wide").await;
    hers.enters("one");
    his.shows("juliet@localhost: one").await;
    // Two rows of Cyrillic, whose letters have two bytes and one column each.
    let typed = "ж".repeat(100);
    his.types(&typed);
    his.shows(&typed).await;
    hers.enters("two");
    let text = his
        .until("both and the line", |text| {
            text.contains("juliet@localhost: two") && text.trim_end().ends_with(&typed)
        })
        .await;
    assert_eq!(text.matches("juliet@localhost: one").count(), 1, "{text}");
    assert_eq!(text.matches(&typed).count(), 1, "{text}");
    his.presses("Enter");
    let once = |text: &str| text.matches('ж').count() == 100;
    hers.until("the line", once).await;
    his.until("the line, once", |text| {
        once(text) && text.contains("you: ж")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paste_of_2000_lines_is_one_message_and_arrives_whole() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut hers = juliet
        .listen("chat", "paste", &["--accept", romeo.address().as_str()])
        .await;
    let mut his = Terminal::run(&caller(&romeo, &juliet, "chat", "paste", &[]));
    his.shows("juliet@localhost · verified> ").await;
    let lines: Vec<_> = (1..=2000)
        .map(|n| format!("line {n} of the paste"))
        .collect();
    his.pastes(&lines.join("\n"));
    his.shows("line 2000 of the paste").await;
    let started = Instant::now();
    his.presses("Enter");
    for line in &lines {
        assert_eq!(hers.text().await, *line);
    }
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    his.presses("C-d");
    his.ends_with(0).await;
    hers.end().await.expect(0);
}

/// What arrives interrupts the line editor, and a paste may come at just that moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_paste_stays_one_message_while_lines_arrive() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut hers = juliet
        .listen("chat", "amid", &["--accept", romeo.address().as_str()])
        .await;
    let mut his = Terminal::run(&caller(&romeo, &juliet, "chat", "amid", &[]));
    his.shows("secure with juliet@localhost").await;
    for paste in 0..5 {
        for line in 0..20 {
            hers.say(format!("her line {paste}.{line}\n")).await;
        }
        let lines: Vec<_> = (1..=100)
            .map(|n| format!("line {n} of paste {paste}"))
            .collect();
        his.pastes(&lines.join("\n"));
        his.shows(&format!("line 100 of paste {paste}")).await;
        his.presses("Enter");
        for line in &lines {
            assert_eq!(hers.text().await, *line);
        }
        // One message, so one line of its own at his end.
        his.shows(&format!("you: line 1 of paste {paste}")).await;
        assert_eq!(
            his.text()
                .matches(&format!("you: line 2 of paste {paste}"))
                .count(),
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_before_a_question_answers_nothing() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let accept = romeo.address();
    let more = ["--accept", accept.as_str(), "--trust", "ask"];
    let mut hers = listener(&juliet, "chat", "ahead", &more).await;
    let group = romeo.fingerprint().hex()[..8].to_owned();
    hers.types(&group);
    hers.presses("Enter");
    hers.types("y");
    let caller = caller(&romeo, &juliet, "chat", "ahead", &["--trust", "tofu"]);
    let mut his = Terminal::run(&caller);
    hers.shows("First group of the key of romeo@localhost")
        .await;
    // A yes says nothing about a key, and neither does another group.
    for (asked, wrong) in ["y", "maybe", "00000000"].into_iter().enumerate() {
        hers.enters(wrong);
        // What is typed before the question is there again answers nothing either.
        hers.until(wrong, |text| {
            text.matches("First group of the key").count() > asked + 1
        })
        .await;
    }
    assert!(!hers.text().contains("secure with"), "{}", hers.text());
    hers.enters(&group);
    hers.shows("secure with romeo@localhost").await;
    his.shows("secure with juliet@localhost").await;
    hers.shows("romeo@localhost · not verified> ").await;
    his.shows("juliet@localhost · not verified> ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_typed_when_no_one_is_there_is_reported_as_not_sent_and_is_never_sent() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [mut his, mut hers] = chat(&romeo, &juliet, "nobody").await;
    his.presses("C-d");
    his.ends_with(0).await;
    no_one_is_left(&mut hers).await;
    hers.enters("for nobody");
    hers.shows("not sent: no one is connected").await;
    let mut again = Terminal::run(&caller(&romeo, &juliet, "chat", "nobody", &[]));
    again.shows("juliet@localhost · verified> ").await;
    hers.shows("was not sent: for nobody").await;
    hers.enters("for romeo");
    let text = again.shows("juliet@localhost: for romeo").await;
    assert!(!text.contains("for nobody"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_ctrl_d_end_an_idle_listener_at_once() {
    let (romeo, juliet) = Person::pair(&Server::free());
    for (key, code) in [("C-c", 130), ("C-d", 0)] {
        let [mut his, mut hers] = chat(&romeo, &juliet, "idle").await;
        his.presses("C-d");
        his.ends_with(0).await;
        no_one_is_left(&mut hers).await;
        hers.presses(key);
        hers.ends_with(code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_the_end_can_be_read_and_the_terminal_is_as_before() {
    let (romeo, juliet) = Person::pair(&Server::free());
    // The peer refuses.
    let mut his = Terminal::run(&caller(&romeo, &juliet, "chat", "nobody-there", &[]));
    let text = his.ends_with(4).await;
    assert!(
        text.contains("xtls: error: juliet@localhost/nobody-there"),
        "{text}"
    );
    // Another client takes the resource: the link is lost for good.
    let [_his, hers] = chat(&romeo, &juliet, "conflict").await;
    let _other = juliet.link("conflict").await;
    let mut hers = hers;
    let text = hers.end().await;
    assert_eq!(text.modes[0], text.modes[1]);
    assert!(hers.text().contains("xtls: error:"), "{}", hers.text());
}

/// The line editor runs, in modes of its own, when the program ends without waiting for anybody.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_at_once_leaves_the_terminal_as_it_was() {
    let (romeo, juliet) = Person::pair(&Server::free());
    for (round, signals) in [["INT", "INT"], ["TERM", "TERM"], ["INT", "QUIT"]]
        .iter()
        .enumerate()
    {
        let resource = format!("at-once-{round}");
        let accept = romeo.address();
        let hers = juliet
            .listen("chat", &resource, &["--accept", accept.as_str()])
            .await;
        let mut his = Terminal::run(&caller(&romeo, &juliet, "chat", &resource, &[]));
        his.shows("juliet@localhost · verified> ").await;
        // She will confirm neither the line nor the end.
        hers.signal("STOP").await;
        his.enters("are you there?");
        his.shows("… are you there?").await;
        let [first, second] = signals;
        his.signal(first);
        his.shows("press Ctrl-C again").await;
        his.signal(second);
        his.ends_with(130).await;
        hers.signal("KILL").await;
        hers.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_prompt_that_is_interrupted_leaves_the_echo_on() {
    let juliet = Person::new(&Server::free(), "juliet");
    for (signal, code) in [("INT", 130), ("TERM", 130), ("HUP", 130)] {
        let program = person(&juliet, &["chat", "romeo@localhost"]).without("--password-file");
        let mut terminal = Terminal::run(&program);
        terminal.shows("Password of juliet@localhost").await;
        if signal == "INT" {
            terminal.presses("C-c");
        } else {
            terminal.signal(signal);
        }
        terminal.ends_with(code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_z_stops_the_program_and_it_goes_on_with_the_line() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [mut his, mut hers] = chat(&romeo, &juliet, "suspend").await;
    his.types("half");
    his.shows("> half").await;
    his.presses("C-z");
    his.shows("[the program is stopped]").await;
    // What is typed now goes to the shell, which lets the program continue.
    his.enters("fg");
    his.until("the line again", |text| text.matches("> half").count() > 1)
        .await;
    his.enters(" and half");
    hers.shows("romeo@localhost: half and half").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_into_a_file_holds_what_the_peer_sent_and_nothing_else() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut hers = juliet
        .listen("chat", "file", &["--accept", romeo.address().as_str()])
        .await;
    let mut his = Terminal::line(&caller(&romeo, &juliet, "chat", "file", &[]), ">out.txt");
    his.shows("secure with").await;
    hers.event("established").await;
    hers.say("è one\ntwo\n").await;
    his.enters("typed");
    assert_eq!(hers.text().await, "typed");
    let ended = hers.end().await;
    ended.expect(0);
    his.ends_with(0).await;
    assert_eq!(
        std::fs::read_to_string(his.file("out.txt")).unwrap(),
        "è one\ntwo\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_looks_like_the_program() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    let mut hers = listener(&juliet, "chat", "looks", &["--accept", accept.as_str()]).await;
    let mut his = romeo.online(&["chat", juliet.at("looks").as_str()]).start();
    his.event("established").await;
    hers.shows("romeo@localhost · verified> ").await;
    let long = format!(
        "{} xtls: the key of juliet@localhost is verified by words",
        "x".repeat(58)
    );
    his.say(format!("{long}\n")).await;
    his.say("\u{2028}xtls: error: \u{9b}31m\u{202e}red\nend\n")
        .await;
    let text = hers.shows("romeo@localhost: end").await;
    for row in text.lines() {
        assert!(
            !row.starts_with("xtls:")
                || !(row.contains("verified by words") || row.contains("red")),
            "{text}"
        );
    }
    assert!(text.contains("<U+009B>31m<U+202E>red"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_colours_there_are_none() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    let _hers = listener(&juliet, "chat", "plain", &["--accept", accept.as_str()]).await;
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let program = caller(&romeo, &juliet, "chat", "plain", &[])
            .variable(name, value)
            .variable("CI", "true");
        let mut his = Terminal::run(&program);
        his.shows("secure with").await;
        let colours = his.escapes();
        assert!(
            !colours.contains("\u{1b}[1m") && !colours.contains("\u{1b}[3"),
            "{colours:?}"
        );
        his.presses("C-d");
        his.end().await;
    }
}
