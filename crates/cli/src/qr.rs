//! QR codes on a terminal.

use anstyle::AnsiColor;
use qrcode::{Color, EcLevel, QrCode};

/// Draws a QR code in lines of half blocks, two modules above each other; `None` if the text is too long.
///
/// It is as small as possible, so that a URI with an address of up to 56 bytes fits into 24 rows along with the prompt: it
/// uses the lowest level of error correction, because screens have no stains, and a smaller margin than the standard's four
/// modules if those would not fit.
pub(crate) fn lines(text: &str) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let margin = if width + 2 * MARGIN <= 2 * ROWS {
        MARGIN
    } else {
        SMALL_MARGIN
    };
    let dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(margin).filter(|at| *at < width);
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if code[(x, y)] == Color::Dark)
    };
    let size = width + 2 * margin;
    let line = |row: usize| {
        let half = |x: usize| match (dark(x, 2 * row), dark(x, 2 * row + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        (0..size).map(half).collect()
    };
    Some((0..size.div_ceil(2)).map(line).collect())
}

/// A line in black on white, whatever the colours of the terminal: most scanners require that.
pub(crate) fn coloured(line: &str) -> String {
    let style = AnsiColor::Black.on(AnsiColor::BrightWhite);
    format!("{style}{line}{style:#}")
}

/// Modules around the code (ISO/IEC 18004).
const MARGIN: usize = 4;

/// Fewer, which scanners accept as well.
const SMALL_MARGIN: usize = 2;

/// Rows of a small terminal, without the row of the prompt.
const ROWS: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(account: usize) -> String {
        let account = "j".repeat(account - 10) + "@x.example";
        format!("xmpp:{account}?xtls;fp={}", "0a1b2c3d".repeat(8))
    }

    #[test]
    fn an_address_of_56_bytes_fits_into_24_rows_and_a_longer_one_is_shown_as_well() {
        for (account, rows, columns) in [(28, 23, 45), (29, 23, 45), (56, 23, 45), (57, 25, 49)] {
            let lines = lines(&uri(account)).unwrap();
            assert_eq!(lines.len(), rows, "{account}");
            assert!(lines.iter().all(|line| line.chars().count() == columns));
        }
        assert!(lines(&"x".repeat(4000)).is_none());
    }

    /// What is drawn, as dark modules in rows.
    fn drawn(lines: &[String]) -> Vec<Vec<bool>> {
        let upper = |line: &String| line.chars().map(|c| matches!(c, '█' | '▀')).collect();
        let lower = |line: &String| line.chars().map(|c| matches!(c, '█' | '▄')).collect();
        lines
            .iter()
            .flat_map(|line| [upper(line), lower(line)])
            .collect()
    }

    #[test]
    fn the_drawing_is_the_code_with_a_light_margin() {
        for (account, margin) in [(28, 4), (56, 2)] {
            let code = QrCode::with_error_correction_level(uri(account), EcLevel::L).unwrap();
            let drawn = drawn(&lines(&uri(account)).unwrap());
            for (y, row) in drawn.iter().enumerate() {
                for (x, dark) in row.iter().enumerate() {
                    let inside = |at: usize| (margin..margin + code.width()).contains(&at);
                    let wanted =
                        inside(x) && inside(y) && code[(x - margin, y - margin)] == Color::Dark;
                    assert_eq!(*dark, wanted, "{x}, {y}");
                }
            }
        }
    }

    #[test]
    fn colours_are_named_and_end_with_the_line() {
        let line = coloured("█");
        assert_eq!(line, "\u{1b}[30m\u{1b}[107m█\u{1b}[0m");
    }
}
