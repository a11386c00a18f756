//! Messages: one line each, through `/dev/kmsg`, so that they carry the kernel's time stamps
//! and reach every console and later the journal.
//!
//! It keeps no messages and never fails: what cannot be written is dropped. Which levels show
//! on the console is the kernel's `loglevel=`; [`show_everything`] overrides it here.
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

const PREFIX: &str = "keelson-init: ";

static SHOW_EVERYTHING: AtomicBool = AtomicBool::new(false);

/// How important a message is, as in syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// From now on informational messages go to the console too.
pub(crate) fn show_everything() {
    SHOW_EVERYTHING.store(true, Ordering::Relaxed);
}

/// A fact for the log.
pub(crate) fn info(text: &str) {
    write_log(Level::Info, text);
    if SHOW_EVERYTHING.load(Ordering::Relaxed) {
        write_console(text);
    }
}

/// Something is not as it should be, and the boot goes on.
pub(crate) fn warning(text: &str) {
    write_log(Level::Warning, text);
}

/// The boot ends here: to the log and, whatever `loglevel=` says, to the console.
pub(crate) fn error(text: &str) {
    write_log(Level::Error, text);
    write_console(text);
}

fn write_log(level: Level, text: &str) {
    // The kernel limits the rate for each opening of the file, so it is opened anew each time.
    if let Ok(mut log) = File::options().write(true).open("/dev/kmsg") {
        for line in text.lines() {
            let _ = log.write_all(log_record(level, line).as_bytes());
        }
    }
}

fn write_console(text: &str) {
    match File::options().write(true).open("/dev/console") {
        Ok(mut console) => {
            for line in text.lines() {
                let _ = console.write_all(format!("{PREFIX}{line}\r\n").as_bytes());
            }
        }
        Err(_) => eprintln!("{PREFIX}{text}"), // before /dev is mounted the kernel has opened it
    }
}

/// One record of `/dev/kmsg`: facility daemon (3), then the level.
fn log_record(level: Level, line: &str) -> String {
    format!("<{}>{PREFIX}{line}\n", (3 << 3) | level as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_carry_facility_and_level() {
        assert_eq!(log_record(Level::Error, "x"), "<27>keelson-init: x\n");
        assert_eq!(log_record(Level::Warning, "x"), "<28>keelson-init: x\n");
        assert_eq!(log_record(Level::Info, "x"), "<30>keelson-init: x\n");
    }
}
