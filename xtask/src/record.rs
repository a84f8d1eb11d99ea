//! Recordings for the pages: the program on terminals of 24 × 80, with a real server, as animated pictures.
//!
//! How long something is shown is said here and not measured, so that a slow machine makes the same picture. Keys, words and the
//! time of day are those of the run.

mod screen;
mod svg;
mod terminal;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xshell::cmd;

use crate::server::{DOMAIN, Kind, Server};
use crate::workspace::Workspace;
use screen::Screen;
use terminal::Terminal;

/// Where they go, below the root.
const FOLDER: &str = "docs/recordings";

/// The recordings, each with a name for its file.
const ALL: [&str; 3] = ["demo", "chat", "send"];

/// The recordings that are named, or all.
pub(crate) fn parse(args: &[OsString]) -> Result<Vec<&'static str>> {
    if args.is_empty() {
        return Ok(ALL.to_vec());
    }
    let named = args.iter().map(|arg| {
        let known = ALL.into_iter().find(|name| arg == name);
        known.with_context(|| format!("cargo xtask record has no recording {}", arg.display()))
    });
    named.collect()
}

pub(crate) fn run(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let sh = &workspace.sh;
    let program = match std::env::var_os("XTLS_BIN") {
        Some(program) => PathBuf::from(program),
        None => {
            cmd!(sh, "cargo build --locked -p xtls").run()?;
            workspace.target.join("debug/xtls")
        }
    };
    let programs = program.parent().context("a folder with the program")?;
    let server = Server::start(workspace, Kind::Free)?;
    let folder = workspace.root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    for name in names {
        let mut stage = Stage::new(workspace, &server, programs, name)?;
        match *name {
            "demo" => demo(&mut stage)?,
            "chat" => chat(&mut stage)?,
            "send" => send(&mut stage)?,
            other => bail!("no recording {other}"),
        }
        let picture = svg::picture(&stage.frames);
        ensure!(
            picture.len() <= LARGEST,
            "{name}.svg has {} bytes, and {LARGEST} are allowed",
            picture.len()
        );
        fs::write(folder.join(format!("{name}.svg")), &picture)?;
        let still = workspace.target.join(format!("record-{name}.svg"));
        let middle = stage.frames.len() / 2;
        fs::write(&still, svg::still(&stage.frames, middle))?;
        eprintln!(
            "{FOLDER}/{name}.svg: {} bytes; the middle of it is in {}",
            picture.len(),
            still.display()
        );
    }
    server.discard()
}

/// What every terminal shows, and for how long.
#[derive(Debug)]
struct Frame {
    screens: Vec<Screen>,
    time: Duration,
}

/// The terminals of a recording.
struct Stage {
    terminals: Vec<Terminal>,
    frames: Vec<Frame>,
    folder: PathBuf,
    config: [String; 2],
    programs: PathBuf,
}

/// Who is at a terminal: the number of an account.
const ROMEO: usize = 0;
const JULIET: usize = 1;

impl Stage {
    fn new(workspace: &Workspace, server: &Server, programs: &Path, name: &str) -> Result<Self> {
        let folder = workspace.target.join("record").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        // Whoever calls gets a resource at random, which would be another one in every run.
        let romeo = server.configuration("romeo") + "resource = \"balcony\"\n";
        let config = [romeo, server.configuration("juliet")];
        Ok(Self {
            terminals: Vec::new(),
            frames: Vec::new(),
            folder,
            config,
            programs: programs.to_owned(),
        })
    }

    /// Opens a terminal for a person, with an account that is configured.
    fn person(&mut self, who: usize, title: &str) -> Result<()> {
        let home = self.folder.join(title);
        fs::create_dir_all(home.join("xtls"))?;
        let config = self.config.get(who).context("somebody's configuration")?;
        fs::write(home.join("xtls/config.toml"), config)?;
        let name = self.folder.file_name().unwrap_or_default();
        let socket = format!("{}-{title}", name.display());
        let terminal = Terminal::open(title, &socket, &home, &self.programs)?;
        self.terminals.push(terminal);
        Ok(())
    }

    fn home(&self, title: &str) -> PathBuf {
        self.folder.join(title)
    }

    fn terminal(&self, number: usize) -> Result<&Terminal> {
        self.terminals.get(number).context("a terminal")
    }

    /// Shows what there is now, for so many milliseconds.
    fn hold(&mut self, milliseconds: u64) -> Result<()> {
        let screens = self.terminals.iter().map(Terminal::screen);
        self.frames.push(Frame {
            screens: screens.collect::<Result<_>>()?,
            time: Duration::from_millis(milliseconds),
        });
        Ok(())
    }

    /// Types as people do.
    fn types(&mut self, number: usize, text: &str) -> Result<()> {
        let letters: Vec<char> = text.chars().collect();
        let mut typed = String::new();
        for some in letters.chunks(AT_ONCE) {
            let some: String = some.iter().collect();
            typed.push_str(&some);
            let terminal = self.terminal(number)?;
            terminal.types(&some)?;
            terminal.wait_for(typed.trim_end())?;
            self.hold(90)?;
        }
        self.hold(300)
    }

    /// Types a line.
    fn enters(&mut self, number: usize, text: &str) -> Result<()> {
        self.types(number, text)?;
        self.terminal(number)?.presses("Enter")
    }

    /// Waits until this is there.
    fn sees(&mut self, number: usize, words: &str) -> Result<String> {
        self.terminal(number)?.wait_for(words)
    }
}

fn demo(stage: &mut Stage) -> Result<()> {
    stage.person(ROMEO, "demo")?;
    stage.hold(500)?;
    stage.enters(0, "xtls demo")?;
    stage.sees(0, "$ xtls demo")?;
    stage.terminal(0)?.wait_for_prompts(2)?;
    stage.hold(9000)
}

/// Two people who have never met compare words, talk, and pass a file.
fn chat(stage: &mut Stage) -> Result<()> {
    stage.person(JULIET, "juliet")?;
    stage.person(ROMEO, "romeo")?;
    let (hers, his) = (0, 1);
    fs::write(stage.home("romeo").join("sonnet.txt"), [b'.'; 2_100])?;
    stage.hold(500)?;
    stage.enters(hers, &format!("xtls chat --listen --accept romeo@{DOMAIN}"))?;
    stage.sees(hers, "listening as")?;
    stage.hold(900)?;
    stage.enters(his, &format!("xtls chat juliet@{DOMAIN}"))?;
    stage.sees(his, "First group of the key")?;
    stage.hold(2500)?;
    stage.enters(his, "v")?;
    stage.sees(hers, "First group of the key")?;
    stage.hold(2000)?;
    stage.enters(hers, "v")?;
    for number in [his, hers] {
        stage.sees(number, " word, as ")?;
    }
    stage.hold(3000)?;
    for number in [his, hers] {
        let word = word(&stage.terminal(number)?.text()?)?;
        stage.enters(number, &word)?;
    }
    for number in [his, hers] {
        stage.sees(number, "· verified>")?;
    }
    stage.hold(2500)?;
    for number in [his, hers] {
        stage.terminal(number)?.presses("C-l")?;
    }
    stage.enters(his, "But soft, what light?")?;
    stage.sees(hers, "what light?")?;
    stage.sees(his, "you: But soft")?;
    stage.hold(1200)?;
    stage.enters(hers, "Call me but love")?;
    stage.sees(his, "Call me but love")?;
    stage.hold(1200)?;
    stage.enters(his, "/send sonnet.txt")?;
    stage.sees(hers, "Put sonnet.txt")?;
    stage.hold(2000)?;
    stage.enters(hers, "y")?;
    stage.sees(his, "delivered")?;
    stage.sees(hers, "sonnet.txt: ")?;
    stage.hold(3000)?;
    stage.enters(his, "/quit")?;
    stage.sees(his, "is over")?;
    stage.sees(hers, "has left")?;
    stage.hold(3000)
}

/// A folder goes from one to the other.
fn send(stage: &mut Stage) -> Result<()> {
    stage.person(JULIET, "juliet")?;
    stage.person(ROMEO, "romeo")?;
    let (hers, his) = (0, 1);
    let photos = stage.home("romeo").join("photos");
    fs::create_dir_all(&photos)?;
    for number in 1..=12_u64 {
        fs::write(photos.join(format!("{number}.jpg")), noise(number, 250_000))?;
    }
    introduce(stage)?;
    stage.hold(500)?;
    stage.enters(hers, &format!("xtls receive --accept romeo@{DOMAIN}"))?;
    stage.sees(hers, "can send now")?;
    stage.hold(1500)?;
    stage.enters(his, &format!("xtls send juliet@{DOMAIN} photos"))?;
    stage.sees(hers, "Put photos")?;
    stage.hold(2500)?;
    stage.enters(hers, "y")?;
    // The bar is there for as long as it takes; a picture of it in the middle will do.
    if stage.terminal(his)?.wait_for(" % of ").is_ok() {
        stage.hold(600)?;
    }
    stage.terminal(his)?.wait_for("every hash was right")?;
    stage.terminal(hers)?.wait_for("every hash was right")?;
    stage.hold(6000)
}

/// Lets the two pin each other's key.
fn introduce(stage: &Stage) -> Result<()> {
    let people = ["romeo", "juliet"];
    let run = |who: &str, args: &[&str]| Terminal::run(&stage.home(who), &stage.programs, args);
    let mut keys = Vec::new();
    for who in people {
        let id = run(who, &["id", "--json"])?;
        let (_, rest) = id
            .split_once("\"fingerprint\":\"")
            .context("a fingerprint")?;
        let key = rest.split('"').next().context("its end")?;
        keys.push(key.to_owned());
    }
    for (who, key) in people.iter().zip(&keys) {
        for other in people.iter().filter(|other| *other != who) {
            let address = format!("{who}@{DOMAIN}");
            run(other, &["trust", "pin", &address, key])?;
        }
    }
    Ok(())
}

/// Content that nothing compresses, the same on every machine.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut number = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut octets = Vec::with_capacity(size);
    while octets.len() < size {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        octets.extend_from_slice(&number.to_le_bytes());
    }
    octets.truncate(size);
    octets
}

/// The word that is asked for, from the words above the question.
fn word(text: &str) -> Result<String> {
    let lower = |line: &&str| {
        line.starts_with("      ")
            && line.split_whitespace().count() == 4
            && line.chars().all(|c| c.is_ascii_lowercase() || c == ' ')
    };
    let words = text.lines().rfind(lower).context("four words")?;
    let (_, question) = text.rsplit_once("The ").context("a question")?;
    let names = ["first", "second", "third", "fourth"];
    let nth = names
        .iter()
        .position(|name| question.starts_with(name))
        .context("which word")?;
    let word = words.split_whitespace().nth(nth);
    Ok(word.context("that word")?.to_owned())
}

/// Letters between two frames of somebody who types.
const AT_ONCE: usize = 6;

/// Bytes that a recording may have.
const LARGEST: usize = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_is_none_is_refused() {
        assert!(parse(&["film".into()]).is_err());
        assert_eq!(parse(&["chat".into()]).unwrap(), ["chat"]);
        assert_eq!(parse(&[]).unwrap(), ALL);
    }

    #[test]
    fn the_word_that_is_asked_for_is_found() {
        let text = "Compare:\n\n      abandon ability able about\n\nThe third word, as juliet reads it to you, or no: ";
        assert_eq!(word(text).unwrap(), "able");
        assert!(word("The third word").is_err());
    }

    #[test]
    fn every_recording_is_there_small_and_on_a_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let pages = read("README.md") + &read("docs/GUIDE.md");
        for name in ALL {
            assert!(
                read(&format!("{FOLDER}/{name}.svg")).len() <= LARGEST,
                "{name}"
            );
            assert!(pages.contains(&format!("recordings/{name}.svg")), "{name}");
        }
    }
}
