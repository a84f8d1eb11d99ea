//! Every block of docs/GUIDE.md, as the people in it would type it: each with an account on a real server.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;

/// One block of the guide.
#[derive(Debug)]
struct Block {
    /// Who types it.
    who: String,
    /// It goes on until somebody ends it.
    background: bool,
    script: String,
}

/// The blocks of each task, by its title.
fn tasks(guide: &str) -> Vec<(String, Vec<Block>)> {
    let mut tasks: Vec<(String, Vec<Block>)> = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            tasks.push((title.to_owned(), Vec::new()));
        }
        let Some(info) = line.strip_prefix("```sh ") else {
            continue;
        };
        let script: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let mut words = info.split(' ');
        let block = Block {
            who: words.next().unwrap().to_owned(),
            background: words.next() == Some("background"),
            script: script.join("\n"),
        };
        tasks.last_mut().unwrap().1.push(block);
    }
    tasks
}

/// The ports of the task with ssh. There may be no sshd, and none that a test may log in to: instead of it, something greets like it.
struct Ssh {
    /// In place of 22.
    server: u16,
    /// In place of 2222, which may be taken.
    local: u16,
    _greeting: JoinSet<()>,
}

impl Ssh {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().port();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut greeting = JoinSet::new();
        greeting.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                // Whoever called may have gone.
                drop(socket.write_all(b"SSH-2.0-stand-in\r\n").await);
            }
        });
        Self {
            server,
            local: free.local_addr().unwrap().port(),
            _greeting: greeting,
        }
    }

    /// What the program `ssh` is here: it asks for a greeting.
    const PROGRAM: &str = r#"#!/bin/bash -e
test "$1" = -p
exec 3<> "/dev/tcp/localhost/$2"
read -r greeting <&3
[[ $greeting == SSH-2.0-* ]]
"#;
}

/// The script with real addresses, ports and fingerprints in place of those of the guide.
fn made_real(script: &str, romeo: &Person, juliet: &Person, ssh: &Ssh) -> String {
    let mut real = script
        .replace("localhost:22", &format!("localhost:{}", ssh.server))
        .replace("2222", &ssh.local.to_string());
    for (theirs, person) in [
        ("juliet@capulet.example", juliet),
        ("romeo@montague.example", romeo),
    ] {
        let uri = format!("xmpp:{theirs}?xtls;fp=");
        while let Some(at) = real.find(&uri) {
            let end = at + real[at..].find('\'').expect("a quoted URI");
            let key = person.fingerprint().hex();
            real.replace_range(at..end, &format!("xmpp:{}?xtls;fp={key}", person.address()));
        }
        real = real.replace(theirs, person.address().as_str());
    }
    let domain = juliet.server().domain().to_owned();
    real.replace("capulet.example", &domain)
}

fn start(script: &str, person: &Person) -> Child {
    let folder = person.file("");
    let bin = person.file("bin");
    if !bin.exists() {
        std::fs::create_dir_all(&bin).unwrap();
        symlink(
            std::env::var_os("XTLS_BIN").expect("a program"),
            bin.join("xtls"),
        )
        .unwrap();
        std::fs::write(bin.join("ssh"), Ssh::PROGRAM).unwrap();
        let runs = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bin.join("ssh"), runs).unwrap();
        std::fs::create_dir_all(person.file("photos/old")).unwrap();
        std::fs::write(person.file("photos/one.txt"), "one").unwrap();
        std::fs::write(person.file("photos/old/two.txt"), "two").unwrap();
        std::fs::write(person.file("letter.txt"), "But soft!").unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let (host, port) = person.server().starttls();
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", person.file(""))
        .env("XTLS_HOME", person.home())
        .env("XTLS_SERVER", format!("{host}:{port}"))
        .env("XTLS_CA_FILE", person.server().ca_file())
        .env("XTLS_PASSWORD_FILE", person.password_file())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What a block says when the next one can begin, if that does not wait for its end.
fn waits(script: &str) -> Option<&str> {
    if script.contains("forward --wait") {
        return Some(" → localhost:");
    }
    ["--listen", "--serve", "xtls receive"]
        .iter()
        .any(|waits| script.contains(waits))
        .then_some("listening as")
}

async fn task(title: &str, blocks: &[Block], romeo: &Person, juliet: &Person, ssh: &Ssh) {
    let mut running = Vec::new();
    for block in blocks {
        let person = if block.who == "romeo" { romeo } else { juliet };
        let script = made_real(&block.script, romeo, juliet, ssh);
        let mut child = start(&script, person);
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut heard = Vec::new();
        let waiting = waits(&script);
        if let Some(sign) = waiting {
            // Whoever calls can begin when this one is there.
            while let Some(line) = soon("a listener", told.next_line()).await.unwrap() {
                let there = line.contains(sign);
                heard.push(line);
                if there {
                    break;
                }
            }
        }
        running.push((block, child, told, heard));
        if waiting.is_none() {
            let (block, mut child, mut told, mut heard) = running.pop().unwrap();
            while let Some(line) = soon(title, told.next_line()).await.unwrap() {
                heard.push(line);
            }
            let status = soon(title, child.wait()).await.unwrap();
            assert!(
                status.success(),
                "{title}, {}: {status}\n{}\n{}",
                block.who,
                block.script,
                heard.join("\n")
            );
        }
    }
    for (block, mut child, mut told, mut heard) in running {
        if block.background {
            let group = child.id().unwrap().to_string();
            let ended = Command::new("bash")
                .args(["-c", "kill -TERM -- \"-$1\"", "group", &group])
                .status()
                .await
                .unwrap();
            assert!(ended.success(), "{title}: {} was over before", block.who);
        }
        let what = format!("the end of {title} ({})", block.who);
        while let Some(line) = soon(&what, told.next_line()).await.unwrap() {
            eprintln!("{}: {line}", block.who);
            heard.push(line);
        }
        let status = soon(&what, child.wait()).await.unwrap();
        assert!(
            block.background || status.success(),
            "{title}, {}: {status}\n{}\n{}",
            block.who,
            block.script,
            heard.join("\n")
        );
    }
}

#[tokio::test]
async fn every_task_of_the_guide_works_as_it_is_written() {
    let guide = include_str!("../../docs/GUIDE.md");
    let tasks = tasks(guide);
    assert!(tasks.len() >= 12, "{} tasks", tasks.len());
    let (romeo, juliet) = Person::strangers(&Server::free());
    assert!(Path::new(&romeo.file("")).exists());
    let ssh = Ssh::start().await;
    for (title, blocks) in &tasks {
        assert!(!blocks.is_empty(), "{title} has no block");
        task(title, blocks, &romeo, &juliet, &ssh).await;
    }
}
