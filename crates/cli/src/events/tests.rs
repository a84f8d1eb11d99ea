use std::path::Path;

use super::*;

/// The rows of a table in docs/EVENTS.md: name, fields, fields that are there sometimes.
fn rows(heading: &str) -> Vec<[Vec<String>; 3]> {
    let page = include_str!("../../../../docs/EVENTS.md");
    let (_, section) = page.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let names = |cell: &str| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            [names(cells[0]), names(cells[1]), names(cells[2])]
        })
        .collect()
}

#[test]
fn the_page_says_the_same() {
    let strings = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    for (heading, shapes) in [("## Events\n", &EVENTS[..]), ("## Answers\n", &ANSWERS[..])] {
        let here: Vec<_> = shapes
            .iter()
            .map(|shape| {
                [
                    strings(&[shape.name]),
                    strings(shape.always),
                    strings(shape.sometimes),
                ]
            })
            .collect();
        assert_eq!(rows(heading), here, "{heading}");
    }
    assert!(include_str!("../../../../docs/EVENTS.md").contains(&format!("**{SCHEMA}**")));
}

#[test]
fn every_event_is_one_that_the_program_reports() {
    fn sources(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else if !path.ends_with("events.rs") && !path.ends_with("events/tests.rs") {
                all.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    for shape in EVENTS.iter().chain(&ANSWERS) {
        assert!(
            all.contains(&format!("\"{}\"", shape.name)),
            "{}",
            shape.name
        );
    }
}

#[test]
fn an_event_of_another_shape_is_noticed() {
    let fault = |name, fields: &[&str]| Shape::fault(name, fields.iter().copied());
    assert_eq!(fault("opening", &["peer"]), None);
    assert!(fault("opened", &["peer"]).is_some());
    assert!(fault("opening", &[]).is_some());
    assert!(fault("opening", &["peer", "mood"]).is_some());
    assert_eq!(fault("failed", &["code", "what", "hint"]), None);
}
