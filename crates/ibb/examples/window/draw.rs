//! The samples as SVG: three panels over one axis of time.

use std::fmt::Write;
use std::time::Duration;

use crate::path::{Phase, Sample};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 46.0;

const BLUE: &str = "#1f5fa8";
const RED: &str = "#b8432f";
const GREEN: &str = "#3a7d44";
const GREY: &str = "#777777";

/// One panel: where it stands and what its heights mean.
struct Panel {
    top: f64,
    title: &'static str,
    low: f64,
    high: f64,
    log: bool,
    marks: &'static [(f64, &'static str)],
}

const PANELS: [Panel; 3] = [
    Panel {
        top: TOP,
        title: "bytes (log scale)",
        low: 512.0,
        high: 2_097_152.0,
        log: true,
        marks: &[
            (1024.0, "1 KiB"),
            (4096.0, "4 KiB"),
            (16_384.0, "16 KiB"),
            (65_536.0, "64 KiB"),
            (262_144.0, "256 KiB"),
            (1_048_576.0, "1 MiB"),
        ],
    },
    Panel {
        top: TOP + PANEL + GAP,
        title: "payload, kB/s (log scale)",
        low: 1.0,
        high: 1000.0,
        log: true,
        marks: &[(1.0, "1"), (10.0, "10"), (100.0, "100"), (1000.0, "1000")],
    },
    Panel {
        top: TOP + 2.0 * (PANEL + GAP),
        title: "delay of answers, s",
        low: 0.0,
        high: 60.0,
        log: false,
        marks: &[(0.0, "0"), (20.0, "20"), (40.0, "40"), (60.0, "60")],
    },
];

impl Panel {
    fn y(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).log2() / (self.high / self.low).log2()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.top + PANEL * (1.0 - share)
    }
}

struct Drawing {
    svg: String,
    seconds: f64,
}

impl Drawing {
    fn x(&self, at: Duration) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at.as_secs_f64() / self.seconds
    }

    fn add(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.svg, "{line}");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
        ));
    }

    fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], style: &str) {
        self.add(format_args!(
            "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" {style}/>"
        ));
    }

    fn curve(&mut self, panel: &Panel, values: impl Iterator<Item = (Duration, f64)>, style: &str) {
        let mut path = String::new();
        for (at, value) in values {
            let start = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{start}{:.1} {:.1}", self.x(at), panel.y(value));
        }
        self.add(format_args!("<path d=\"{path}\" {style}/>"));
    }

    fn frame(&mut self, panel: &Panel) {
        let (right, bottom) = (WIDTH - RIGHT, panel.top + PANEL);
        for (value, label) in panel.marks {
            let y = panel.y(*value);
            self.line([LEFT, y, right, y], "stroke=\"#dddddd\"");
            self.text(LEFT - 8.0, y + 4.0, "end", "#333333", label);
        }
        self.line([LEFT, panel.top, LEFT, bottom], "stroke=\"#333333\"");
        self.line([LEFT, bottom, right, bottom], "stroke=\"#333333\"");
        self.text(LEFT, panel.top - 8.0, "start", "#333333", panel.title);
    }

    /// What the lines are, at the right above the panel.
    fn legend(&mut self, panel: &Panel, entries: &[(&str, &str, bool)]) {
        let mut x = WIDTH - RIGHT;
        for (colour, label, dashed) in entries.iter().rev() {
            self.text(x, panel.top - 8.0, "end", colour, label);
            x -= 6.4 * label.len() as f64 + 6.0;
            let dash = if *dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            let y = panel.top - 12.0;
            self.line(
                [x - 22.0, y, x, y],
                &format!("stroke=\"{colour}\" stroke-width=\"2\"{dash}"),
            );
            x -= 40.0;
        }
    }
}

pub(crate) fn svg(phases: &[Phase], samples: &[Sample]) -> String {
    let seconds = phases.last().map_or(1.0, |phase| phase.until.as_secs_f64());
    let mut drawing = Drawing {
        svg: String::new(),
        seconds,
    };
    let height = TOP + 3.0 * PANEL + 2.0 * GAP + 48.0;
    drawing.add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"none\">"
    ));
    drawing.add(format_args!(
        "<title>the window controller on three paths, one after the other</title>"
    ));
    drawing.add(format_args!(
        "<rect width=\"{WIDTH:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>"
    ));
    bands(&mut drawing, phases);
    for panel in &PANELS {
        drawing.frame(panel);
    }
    curves(&mut drawing, samples);
    time(&mut drawing, seconds);
    drawing.add(format_args!("</svg>"));
    drawing.svg
}

/// The phases, as shades behind everything.
fn bands(drawing: &mut Drawing, phases: &[Phase]) {
    let mut from = Duration::ZERO;
    let bottom = TOP + 3.0 * PANEL + 2.0 * GAP;
    for (number, phase) in phases.iter().enumerate() {
        let (left, right) = (drawing.x(from), drawing.x(phase.until));
        let shade = if number % 2 == 0 {
            "#f3f3f3"
        } else {
            "#fdf6e3"
        };
        drawing.add(format_args!(
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{shade}\"/>",
            TOP - 40.0,
            right - left,
            bottom - TOP + 40.0
        ));
        drawing.text(
            (left + right) / 2.0,
            TOP - 26.0,
            "middle",
            "#333333",
            phase.name,
        );
        from = phase.until;
    }
}

fn curves(drawing: &mut Drawing, samples: &[Sample]) {
    let [bytes, rate, delay] = &PANELS;
    let solid = |colour: &str| format!("stroke=\"{colour}\" stroke-width=\"2\"");
    let dashed =
        |colour: &str| format!("stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"5 4\"");

    let all = || samples.iter();
    drawing.curve(bytes, all().map(|s| (s.at, s.window as f64)), &solid(BLUE));
    drawing.curve(bytes, all().map(|s| (s.at, s.chunk as f64)), &solid(RED));
    drawing.legend(bytes, &[(BLUE, "window", false), (RED, "chunk", false)]);

    // Samples are half a second apart, and chunks come seldom: the mean of two seconds.
    let possible = all().map(|s| (s.at, s.possible as f64 / 500.0));
    drawing.curve(rate, possible, &dashed(GREY));
    let means = samples.windows(4).filter_map(|four| {
        let bytes: u64 = four.iter().map(|s| s.arrived).sum();
        Some((four.last()?.at, bytes as f64 / 2000.0))
    });
    drawing.curve(rate, means, &solid(GREEN));
    drawing.legend(
        rate,
        &[
            (GREEN, "arrived, mean of 2 s", false),
            (GREY, "possible in such chunks", true),
        ],
    );

    let right = WIDTH - RIGHT;
    let y = delay.y(2.0);
    drawing.line([LEFT, y, right, y], &dashed(GREY));
    drawing.curve(
        delay,
        all().map(|s| (s.at, s.ack_delay.as_secs_f64())),
        &solid(BLUE),
    );
    drawing.legend(
        delay,
        &[
            (BLUE, "each answer counts for 1/8", false),
            (GREY, "2 s", true),
        ],
    );
}

fn time(drawing: &mut Drawing, seconds: f64) {
    let bottom = TOP + 3.0 * PANEL + 2.0 * GAP;
    let mut at = Duration::ZERO;
    while at.as_secs_f64() <= seconds {
        let x = drawing.x(at);
        drawing.line([x, bottom, x, bottom + 5.0], "stroke=\"#333333\"");
        drawing.text(
            x,
            bottom + 20.0,
            "middle",
            "#333333",
            &at.as_secs().to_string(),
        );
        at += Duration::from_secs(20);
    }
    drawing.text(
        (LEFT + WIDTH - RIGHT) / 2.0,
        bottom + 38.0,
        "middle",
        "#333333",
        "time, s",
    );
}
