//! How many rows a text takes on a terminal.

use unicode_width::UnicodeWidthChar as _;

/// How many rows below its first row `text` ends, on a terminal that wraps after `columns`.
pub(crate) fn below_first(text: &str, columns: usize) -> usize {
    let columns = columns.max(1);
    let (mut row, mut column) = (0, 0);
    for c in text.chars() {
        if c == '\n' {
            (row, column) = (row + 1, 0);
            continue;
        }
        let width = c.width().unwrap_or(0);
        // A wide character does not start in the last column.
        if column + width > columns {
            (row, column) = (row + 1, 0);
        }
        column += width;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_row_is_one_row_and_one_character_more_is_two() {
        assert_eq!(below_first(&"a".repeat(80), 80), 0);
        assert_eq!(below_first(&"a".repeat(81), 80), 1);
    }

    #[test]
    fn characters_count_by_their_width_and_not_by_their_bytes() {
        assert_eq!(below_first(&"д".repeat(60), 80), 0);
        assert_eq!(below_first(&"漢".repeat(40), 80), 0);
        assert_eq!(below_first(&"漢".repeat(41), 80), 1);
        // 40 of them do not fit into 81 columns and a half.
        assert_eq!(below_first(&format!("a{}", "漢".repeat(40)), 80), 1);
    }

    #[test]
    fn line_ends_begin_rows() {
        assert_eq!(below_first("a\nb\n", 80), 2);
        assert_eq!(below_first("", 80), 0);
    }
}
