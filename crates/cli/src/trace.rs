//! `xtls trace`: a recorded session as a ladder, in text or as a picture.

mod ladder;
mod recording;
mod svg;
mod text;

use std::fs::OpenOptions;
use std::io::{BufReader, Read, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::answer::{answer, print_all};
use crate::args::Trace;
use crate::failure::Failure;
use crate::output;
use crate::say::Say;
use ladder::{Ladder, Step};

/// Reads the recording, and draws it.
pub(crate) fn run(args: &Trace, say: Say) -> Result<(), Failure> {
    let name = match args.file.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => args.file.display().to_string(),
    };
    let source: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(&args.file);
        Box::new(file.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?)
    };
    let entries = recording::read(BufReader::new(source)).map_err(|fault| {
        Failure::failed(format!("{name}: {fault}"))
            .hint("a recording is what --record of another verb has written")
    })?;
    let ladder = Ladder::new(entries);
    if let Some(path) = &args.svg {
        let (picture, left_out) = svg::draw(&ladder, args.full);
        save(path, &picture)?;
        let fields = [
            ("file", Value::from(path.display().to_string())),
            ("left_out", Value::from(left_out)),
        ];
        let mut text = format!("the picture is in {}", path.display());
        if left_out > 0 {
            text.push_str(&format!("; it ends {left_out} rows early, for its size"));
        }
        say.event("drawn", &fields, text);
        return Ok(());
    }
    if say.is_json() {
        return ladder.steps.iter().try_for_each(|step| tell(step, say));
    }
    let width = output::columns().unwrap_or(text::USUAL);
    let text = text::draw(&ladder, width, args.full);
    if output::colours() {
        print_all(&text)
    } else {
        print_all(&anstream::adapter::strip_str(&text).to_string())
    }
}

/// A step, for programs.
fn tell(step: &Step, say: Say) -> Result<(), Failure> {
    let records: Vec<_> = step.records.iter().map(String::as_str).collect();
    let fields = [
        ("us", Value::from(step.us)),
        ("layer", Value::from(step.layer.name())),
        ("direction", Value::from(step.direction.name())),
        (
            "peer",
            step.peer.as_deref().map_or(Value::Null, Value::from),
        ),
        ("what", Value::from(step.label.as_str())),
        ("length", Value::from(step.length)),
        ("records", Value::from(records)),
    ];
    answer("step", &fields, "", say)
}

/// Writes a new file. An existing one is not overwritten.
fn save(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let failure = Failure::usage(format!("cannot draw into {}: {error}", path.display()));
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return failure.hint("choose another name, or remove it");
        }
        failure
    })
}
