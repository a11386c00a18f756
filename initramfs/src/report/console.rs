//! Messages: one line each, through `/dev/kmsg`, so that they carry the kernel's time stamps
//! and reach every console and later the journal.
//!
//! It keeps no messages and never fails: what cannot be written is dropped. Which levels show
//! on the console is the kernel's `loglevel=`; errors, and after [`show_everything`] all
//! messages, are written there directly if it hides them.
use std::fs::{self, File};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

const PREFIX: &str = "keelson-init: ";

static SHOW_EVERYTHING: AtomicBool = AtomicBool::new(false);

/// How important a message is, as in syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// From now on every message goes to the console.
pub(crate) fn show_everything() {
    SHOW_EVERYTHING.store(true, Ordering::Relaxed);
}

/// A fact for the log.
pub(crate) fn info(text: &str) {
    write(Level::Info, text, SHOW_EVERYTHING.load(Ordering::Relaxed));
}

/// A fact that whoever watches the console must see, because it takes long or cannot be undone.
pub(crate) fn notice(text: &str) {
    write(Level::Notice, text, true);
}

/// Something is not as it should be, and the boot goes on.
pub(crate) fn warning(text: &str) {
    write(
        Level::Warning,
        text,
        SHOW_EVERYTHING.load(Ordering::Relaxed),
    );
}

/// The boot ends here: to the log and, whatever `loglevel=` says, to the console.
pub(crate) fn error(text: &str) {
    write(Level::Error, text, true);
}

fn write(level: Level, text: &str, must_show: bool) {
    let logged = write_log(level, text);
    if must_show && !(logged && kernel_shows(level)) {
        write_console(text);
    }
}

/// Whether the kernel itself puts messages of this level on the console.
fn kernel_shows(level: Level) -> bool {
    let settings = fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    console_level(&settings).is_some_and(|console| (level as u32) < console)
}

/// The first of the four numbers: messages below it are shown.
fn console_level(settings: &str) -> Option<u32> {
    settings.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether the kernel took it.
fn write_log(level: Level, text: &str) -> bool {
    // The kernel limits the rate for each opening of the file, so it is opened anew each time.
    let Ok(mut log) = File::options().write(true).open("/dev/kmsg") else {
        return false;
    };
    text.lines()
        .all(|line| log.write_all(log_record(level, line).as_bytes()).is_ok())
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
    fn the_consoles_level_is_the_first_number() {
        assert_eq!(console_level("4\t4\t1\t7\n"), Some(4));
        assert_eq!(console_level(""), None);
    }

    #[test]
    fn records_carry_facility_and_level() {
        assert_eq!(log_record(Level::Error, "x"), "<27>keelson-init: x\n");
        assert_eq!(log_record(Level::Warning, "x"), "<28>keelson-init: x\n");
        assert_eq!(log_record(Level::Info, "x"), "<30>keelson-init: x\n");
    }
}
