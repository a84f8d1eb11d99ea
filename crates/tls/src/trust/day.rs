//! Unix seconds as a calendar day, for people.

use std::fmt;

/// The UTC day of a moment in unix seconds, as a number.
pub(super) fn number(seconds: i64) -> i64 {
    seconds.div_euclid(86_400)
}

/// Shows the UTC day of a moment in unix seconds as `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years that begin in March put the leap day last; 400 of them have 146 097 days. Day 0 is 0000-03-01.
        let days = number(self.0) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn known_days() {
        let cases = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_228_694_400, "2008-12-08"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
        ];
        for (seconds, day) in cases {
            assert_eq!(Day(seconds).to_string(), day);
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert!(Day(i64::MAX).to_string().ends_with("-12-04"));
        assert!(Day(i64::MIN).to_string().starts_with('-'));
    }
}
