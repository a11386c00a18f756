//! A clock that stands still, for time stamps that do not depend on when an image is built.
//!
//! Does not know time zones: FAT has local time, and this says UTC.

use fatfs::{Date, DateTime, Time};

const DAY_SECONDS: u64 = 86_400;
/// FAT can say the years 1980 to 2107.
const FIRST_SECOND: u64 = 315_532_800;
const LAST_SECOND: u64 = 4_354_819_199;

/// The time that every entry gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedTime(DateTime);

impl FixedTime {
    /// From Unix time; what FAT cannot say becomes the nearest that it can.
    pub(super) fn new(timestamp_seconds: u64) -> Self {
        let seconds = timestamp_seconds.clamp(FIRST_SECOND, LAST_SECOND);
        let of_day = seconds % DAY_SECONDS;
        let time = Time {
            hour: small(of_day / 3600),
            min: small(of_day / 60 % 60),
            sec: small(of_day % 60),
            millis: 0,
        };
        Self(DateTime {
            date: date(seconds / DAY_SECONDS),
            time,
        })
    }
}

impl fatfs::TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        self.0.date
    }

    fn get_current_date_time(&self) -> DateTime {
        self.0
    }
}

/// The Gregorian date of a day since 1 January 1970: `civil_from_days` of
/// <https://howardhinnant.github.io/date_algorithms.html>, for years counted from March.
fn date(unix_day: u64) -> Date {
    const ERA_DAYS: u64 = 146_097; // 400 years
    let day = unix_day + 719_468; // since 1 March of the year 0
    let of_era = day % ERA_DAYS;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + day / ERA_DAYS * 400 + u64::from(month <= 2);
    Date {
        year: small(year),
        month: small(month),
        day: small(day_of_month),
    }
}

fn small(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(timestamp_seconds: u64) -> [u16; 6] {
        let DateTime { date, time } = FixedTime::new(timestamp_seconds).0;
        [
            date.year, date.month, date.day, time.hour, time.min, time.sec,
        ]
    }

    /// Known answers from `date --utc --date=@SECONDS`.
    #[test]
    fn unix_time_becomes_a_date() {
        assert_eq!(parts(1_700_000_000), [2023, 11, 14, 22, 13, 20]);
        assert_eq!(parts(951_782_399), [2000, 2, 28, 23, 59, 59]);
        assert_eq!(parts(951_782_400), [2000, 2, 29, 0, 0, 0]);
        assert_eq!(parts(4_107_542_400), [2100, 3, 1, 0, 0, 0]);
        assert_eq!(parts(1_735_689_599), [2024, 12, 31, 23, 59, 59]);
    }

    #[test]
    fn times_outside_of_fat_are_clamped() {
        assert_eq!(parts(0), [1980, 1, 1, 0, 0, 0]);
        assert_eq!(parts(u64::MAX), [2107, 12, 31, 23, 59, 59]);
    }
}
