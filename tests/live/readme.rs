//! The way of somebody who reads README for the first time: its commands, typed as they stand there, by two people on two terminals.

use xtls_tests::live::person::Person;
use xtls_tests::live::program::Program;
use xtls_tests::live::server::Server;
use xtls_tests::live::terminal::Terminal;

use crate::verify::words;

/// The commands of the part that leads to a verified chat, each with what stands behind it.
fn commands() -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let (_, part) = readme.split_once("## Two real accounts").unwrap();
    let (part, _) = part.split_once("\nThe same tunnel").unwrap();
    let lines = part.lines().filter(|line| line.starts_with("xtls "));
    let split = lines.map(|line| line.split_once('#').unwrap());
    split
        .map(|(command, who)| (command.trim().to_owned(), who.trim().to_owned()))
        .collect()
}

/// The command with the addresses of the test.
fn program(command: &str, person: &Person) -> Program {
    let real = command
        .replace("romeo@montague.example", "romeo@localhost")
        .replace("juliet@capulet.example", "juliet@localhost");
    let words: Vec<_> = real.split_whitespace().skip(1).collect();
    let folder = |name: &str| person.file(name).display().to_string();
    Program::new(&words)
        .variable("HOME", &folder("home"))
        .variable("XDG_CONFIG_HOME", &folder("home/.config"))
        .variable("XDG_DATA_HOME", &folder("home/.local/share"))
}

/// Logs in as README says for servers without DNS records and with an authority of their own.
async fn logs_in(command: &str, person: &Person) {
    let (host, port) = person.server().starttls();
    let program = program(command, person)
        .variable("XTLS_SERVER", &format!("{host}:{port}"))
        .variable(
            "XTLS_CA_FILE",
            &person.server().ca_file().display().to_string(),
        );
    let password = std::fs::read_to_string(person.password_file()).unwrap();
    let mut terminal = Terminal::run(&program);
    terminal.shows("Password of").await;
    terminal.enters(password.trim());
    terminal.shows("Keep it there?").await;
    terminal.enters("y");
    let text = terminal.ends_with(0).await;
    assert!(text.contains("is added"), "{text}");
}

/// Asks for the key of a person, as that person reads it out.
async fn reads_out(person: &Person) -> String {
    let mut terminal = Terminal::run(&program("xtls id", person));
    let text = terminal.ends_with(0).await;
    let groups = |word: &&str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let group = text.split_whitespace().find(groups);
    group
        .unwrap_or_else(|| panic!("no key in {text}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_readme_lead_from_nothing_to_a_verified_chat() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    for person in [&romeo, &juliet] {
        std::fs::create_dir_all(person.file("home")).unwrap();
    }
    let commands = commands();
    let [(hers, she), (his, he), (listen, listener), (call, caller)] = commands.try_into().unwrap();
    assert_eq!((&*she, &*he), ("Juliet", "Romeo"));
    logs_in(&hers, &juliet).await;
    logs_in(&his, &romeo).await;
    assert!(listener.starts_with("Juliet") && caller.starts_with("Romeo"));
    let mut hers = Terminal::run(&program(&listen, &juliet));
    hers.shows("listening as").await;
    let mut his = Terminal::run(&program(&call, &romeo));
    // Each sees the other's key and repeats its beginning, which the other reads out.
    his.shows("First group of the key of juliet@localhost")
        .await;
    his.enters(&reads_out(&juliet).await);
    hers.shows("First group of the key of romeo@localhost")
        .await;
    hers.enters(&reads_out(&romeo).await);
    his.shows("juliet@localhost · not verified> ").await;
    hers.shows("romeo@localhost · not verified> ").await;
    // One of them types the last command, and the other is asked.
    assert!(caller.contains("/verify"), "{caller}");
    his.enters("/verify");
    hers.shows("Compare words with romeo@localhost now?").await;
    hers.enters("y");
    let (one, his_word) = words(&mut his).await;
    let (other, her_word) = words(&mut hers).await;
    assert_eq!(one, other);
    his.enters(&his_word);
    hers.enters(&her_word);
    his.shows("juliet@localhost · verified> ").await;
    hers.shows("romeo@localhost · verified> ").await;
    his.enters("Call me but love");
    hers.shows("romeo@localhost: Call me but love").await;
    his.presses("C-d");
    his.ends_with(0).await;
    hers.presses("C-d");
    hers.ends_with(0).await;
}
