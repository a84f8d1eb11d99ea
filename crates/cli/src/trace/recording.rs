//! Recordings, read strictly: whoever draws one may have got it from somebody else.

use std::io::{BufRead, Read as _};

use serde_json::{Map, Value};

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Microseconds since it began.
    pub(super) us: u64,
    pub(super) direction: Direction,
    /// Bytes of the stanza.
    pub(super) length: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A stanza that servers see, without its chunk, and the TLS records in that.
    Carrying { xml: String, records: Vec<String> },
    /// A stanza inside TLS.
    Inner { kind: String, id: Option<String> },
}

/// What is wrong with a recording, and in which line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("nothing is recorded in it")]
    Empty,
    #[error("line {line}: {why}")]
    Line { line: usize, why: String },
    #[error("it is longer than {MAX_ENTRIES} lines: draw a part of it")]
    Long,
}

/// Reads a recording to its end.
pub(super) fn read(mut source: impl BufRead) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    let mut line = Vec::new();
    loop {
        let number = entries.len() + 1;
        let wrong = |why: String| Fault::Line { line: number, why };
        line.clear();
        let room = MAX_LINE as u64 + 1;
        let read = (&mut source).take(room).read_until(b'\n', &mut line);
        match read.map_err(|error| wrong(error.to_string()))? {
            0 if entries.is_empty() => return Err(Fault::Empty),
            0 => break,
            _ if entries.len() >= MAX_ENTRIES => return Err(Fault::Long),
            _ => {}
        }
        if line.len() > MAX_LINE {
            return Err(wrong(format!("it is longer than {MAX_LINE} bytes")));
        }
        entries.push(entry(&line).map_err(wrong)?);
    }
    // Those of both layers come from tasks that do not wait for each other.
    entries.sort_by_key(|entry: &Entry| entry.us);
    Ok(entries)
}

fn entry(line: &[u8]) -> Result<Entry, String> {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return Err("it is no JSON".to_owned());
    };
    let Value::Object(fields) = value else {
        return Err("it is no JSON object".to_owned());
    };
    let what = match text(&fields, "layer")? {
        "carrying" => What::Carrying {
            xml: text(&fields, "xml")?.to_owned(),
            records: records(&fields)?,
        },
        "inner" => What::Inner {
            kind: text(&fields, "kind")?.to_owned(),
            id: match fields.get("id") {
                None | Some(Value::Null) => None,
                Some(Value::String(id)) => Some(id.clone()),
                Some(_) => return Err("its id is no text".to_owned()),
            },
        },
        other => return Err(format!("{other:?} is no layer")),
    };
    Ok(Entry {
        us: number(&fields, "us")?,
        direction: match text(&fields, "direction")? {
            "in" => Direction::In,
            "out" => Direction::Out,
            other => return Err(format!("{other:?} is no direction")),
        },
        length: number(&fields, "length")?,
        what,
    })
}

/// Recordings of earlier versions have none.
fn records(fields: &Map<String, Value>) -> Result<Vec<String>, String> {
    let wrong = || "its records are no list of short texts".to_owned();
    let list = match fields.get("records") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MAX_RECORDS => list,
        Some(_) => return Err(wrong()),
    };
    let texts = list.iter().map(|record| {
        let text = record.as_str().filter(|text| text.len() <= MAX_RECORD);
        text.map(str::to_owned).ok_or_else(wrong)
    });
    texts.collect()
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("its {name} is no text")),
        None => Err(format!("it has no {name}")),
    }
}

fn number(fields: &Map<String, Value>, name: &str) -> Result<u64, String> {
    let value = fields
        .get(name)
        .ok_or_else(|| format!("it has no {name}"))?;
    value
        .as_u64()
        .ok_or_else(|| format!("its {name} is no whole number"))
}

/// Bytes of a line: a stanza without its chunk, written as JSON.
const MAX_LINE: usize = 1_048_576;

/// Lines that are drawn at most.
const MAX_ENTRIES: usize = 200_000;

/// Records in one stanza, of which each is 22 bytes at least, and bytes of the text of one.
const MAX_RECORDS: usize = 4_096;
const MAX_RECORD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"layer":"inner","direction":"in","kind":"message","id":"m1","length":80,"us":7}"#;

    fn refusal(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (line, why) in [
            ("", "it is no JSON"),
            ("[]", "it is no JSON object"),
            ("{}", "it has no layer"),
            (r#"{"layer":"outer"}"#, "\"outer\" is no layer"),
            (r#"{"layer":"inner","kind":1}"#, "its kind is no text"),
            (
                r#"{"layer":"inner","kind":"iq","id":1}"#,
                "its id is no text",
            ),
            (r#"{"layer":"inner","kind":"iq"}"#, "it has no us"),
            (
                r#"{"layer":"inner","kind":"iq","us":-1}"#,
                "its us is no whole number",
            ),
            (
                r#"{"layer":"inner","kind":"iq","us":1,"direction":"up"}"#,
                "\"up\" is no direction",
            ),
            (
                r#"{"layer":"carrying","xml":"<iq/>","records":[1]}"#,
                "its records are no list of short texts",
            ),
        ] {
            let text = format!("{GOOD}\n{line}\n{GOOD}\n");
            assert_eq!(refusal(&text), format!("line 2: {why}"));
        }
        assert_eq!(refusal(""), "nothing is recorded in it");
        assert!(read(&b"\xff\n"[..]).is_err());
    }

    #[test]
    fn records_are_few_and_short() {
        let with = |records: &[String]| {
            let records = serde_json::to_string(records).unwrap();
            format!(
                r#"{{"layer":"carrying","direction":"in","xml":"<iq/>","records":{records},"length":1,"us":1}}"#
            )
        };
        let most = vec!["x".repeat(MAX_RECORD); MAX_RECORDS];
        assert!(read(with(&most).as_bytes()).is_ok());
        let more = vec![String::new(); MAX_RECORDS + 1];
        assert!(refusal(&with(&more)).contains("its records"));
        let longer = ["x".repeat(MAX_RECORD + 1)];
        assert!(refusal(&with(&longer)).contains("its records"));
    }

    #[test]
    fn a_line_may_be_long_and_not_longer() {
        let spaces = MAX_LINE - GOOD.len();
        let line = format!("{}{GOOD}", " ".repeat(spaces));
        assert_eq!(read(line.as_bytes()).unwrap().len(), 1);
        let line = format!(" {line}");
        assert_eq!(refusal(&line), "line 1: it is longer than 1048576 bytes");
    }

    #[test]
    fn a_recording_may_have_many_lines_and_no_more() {
        let text = format!("{GOOD}\n").repeat(MAX_ENTRIES);
        assert_eq!(read(text.as_bytes()).unwrap().len(), MAX_ENTRIES);
        let text = format!("{text}{GOOD}\n");
        assert!(refusal(&text).contains("200000"));
    }

    #[test]
    fn lines_are_put_in_order() {
        let text = [GOOD.replace(":7", ":9"), GOOD.to_owned()].join("\n");
        let times: Vec<_> = read(text.as_bytes())
            .unwrap()
            .iter()
            .map(|entry| entry.us)
            .collect();
        assert_eq!(times, [7, 9]);
    }
}
