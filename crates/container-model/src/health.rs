//! Health checks of containers: `HEALTHCHECK` of images, `--health-…` of options, and what the two make.
//!
//! Runs none.

use core::time::Duration;
use std::str::FromStr;

use serde::Deserialize;

use crate::malformed::Malformed;

/// Docker's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Longer times are mistakes, and would not fit where milliseconds are counted.
const TIME_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCommand {
    /// Nothing: the container is not checked.
    None,
    /// A program and its arguments; a shell's is written out.
    Words(Vec<String>),
}

/// A time as Go writes it: `1m30s`, `500ms`, `1.5h`, or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthTime(pub Duration);

/// What is done about a container that is unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HealthAction {
    /// It is told.
    #[default]
    None,
    /// The payload is killed, and the unit fails.
    Kill,
    /// The payload is stopped in order, and the unit fails.
    Restart,
    /// The unit is stopped.
    Stop,
}

/// `--health-…`; what is not given is the image's, then Docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// `--health-cmd`, or none with `--no-healthcheck`.
    pub command: Option<HealthCommand>,
    /// `--health-interval`
    pub interval: Option<HealthTime>,
    /// `--health-timeout`
    pub timeout: Option<HealthTime>,
    /// `--health-retries`
    pub retries: Option<u32>,
    /// `--health-start-period`
    pub start_period: Option<HealthTime>,
    /// `--health-start-interval`
    pub start_interval: Option<HealthTime>,
    /// `--health-on-failure`
    pub on_failure: HealthAction,
}

/// `Healthcheck` of an image's configuration, as Docker writes it; times are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageHealth {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

/// A check with all that is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// A program and its arguments.
    pub command: Vec<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// A check may take so long.
    pub timeout: Duration,
    /// So many failures in a row are unhealthy.
    pub retries: u32,
    /// Failures in this time do not count.
    pub start_period: Duration,
    /// From one check to the next in that time.
    pub start_interval: Duration,
    /// What is done then.
    pub on_failure: HealthAction,
}

impl FromStr for HealthCommand {
    type Err = Malformed;

    /// A line for a shell, the words of a program as a JSON array, or `none`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == "none" {
            return Ok(Self::None);
        }
        if text.trim().is_empty() {
            let reason = "a command is wanted, or `none`";
            return Err(Malformed::new("health check", text, reason));
        }
        if !text.starts_with('[') {
            return Ok(Self::shell(text));
        }
        match serde_json::from_str::<Vec<String>>(text) {
            Ok(words) if !words.is_empty() => Ok(Self::Words(words)),
            // `[ -e file ]` is a shell's, too.
            _ if text.starts_with("[ ") => Ok(Self::shell(text)),
            _ => {
                let reason = "an array of words in quotation marks is wanted after `[`";
                Err(Malformed::new("health check", text, reason))
            }
        }
    }
}

impl HealthCommand {
    fn shell(line: &str) -> Self {
        let words = ["/bin/sh", "-c", line];
        Self::Words(words.map(ToOwned::to_owned).into())
    }
}

impl FromStr for HealthTime {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = || {
            let reason = "a time such as 1m30s, 500ms or 0 is wanted, at most a year";
            Malformed::new("time", text, reason)
        };
        let mut rest = text;
        let mut seconds = 0.0;
        while !rest.is_empty() && text != "0" {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            let (number, after) = rest.split_at(digits.ok_or_else(refuse)?);
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
            let (unit, after) = after.split_at(end.unwrap_or(after.len()));
            let unit = match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(refuse()),
            };
            seconds += number.parse::<f64>().map_err(|_| refuse())? * unit;
            rest = after;
        }
        if text.is_empty() || seconds > TIME_MAX {
            return Err(refuse());
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

impl FromStr for HealthAction {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Ok(match text {
            "none" => Self::None,
            "kill" => Self::Kill,
            "restart" => Self::Restart,
            "stop" => Self::Stop,
            _ => {
                let reason = "none, kill, restart or stop is wanted";
                return Err(Malformed::new("action", text, reason));
            }
        })
    }
}

impl ImageHealth {
    /// Of the bytes of an image's configuration.
    pub fn of_configuration(bytes: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Image {
            config: Option<Config>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Config {
            #[serde(rename = "Healthcheck")]
            health: Option<ImageHealth>,
        }
        let image: Image = serde_json::from_slice(bytes)?;
        Ok(image.config.and_then(|config| config.health))
    }

    fn command(&self) -> Result<Option<HealthCommand>, Malformed> {
        let words: Vec<&str> = self.test.iter().map(String::as_str).collect();
        Ok(Some(match words[..] {
            [] | [""] => return Ok(None),
            ["NONE", ..] => HealthCommand::None,
            ["CMD", _, ..] => HealthCommand::Words(self.test[1..].to_vec()),
            ["CMD-SHELL", line] => HealthCommand::shell(line),
            _ => {
                let text = self.test.join(" ");
                let reason = "CMD, CMD-SHELL or NONE is wanted first";
                return Err(Malformed::new("health check of the image", &text, reason));
            }
        }))
    }
}

impl HealthOptions {
    /// The check that is made; none if nobody asked for one.
    pub fn settings(
        &self,
        image: Option<&ImageHealth>,
    ) -> Result<Option<HealthSettings>, Malformed> {
        let none = ImageHealth::default();
        let image = image.unwrap_or(&none);
        let command = match &self.command {
            Some(command) => Some(command.clone()),
            None => image.command()?,
        };
        let command = match command {
            Some(HealthCommand::Words(words)) => words,
            Some(HealthCommand::None) => return Ok(None),
            None if *self == Self::default() => return Ok(None),
            None => {
                let reason = "the image has no HEALTHCHECK: give --health-cmd, too";
                return Err(Malformed::new("health check", "--health-…", reason));
            }
        };
        let retries = self.retries.or(u32::try_from(image.retries).ok());
        Ok(Some(HealthSettings {
            command,
            interval: time(self.interval, image.interval, INTERVAL),
            timeout: time(self.timeout, image.timeout, TIMEOUT),
            retries: retries.filter(|count| *count > 0).unwrap_or(RETRIES),
            start_period: time(self.start_period, image.start_period, Duration::ZERO),
            start_interval: time(self.start_interval, image.start_interval, START_INTERVAL),
            on_failure: self.on_failure,
        }))
    }
}

/// The first that is not zero, as with Docker; no shorter than what is counted.
fn time(option: Option<HealthTime>, image: i64, default: Duration) -> Duration {
    let image = u64::try_from(image).ok().map(Duration::from_nanos);
    let given = option.map(|time| time.0).or(image);
    match given.filter(|time| !time.is_zero()) {
        Some(time) => time.max(Duration::from_millis(1)),
        None => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<f64> {
        let time: Result<HealthTime, _> = text.parse();
        time.ok().map(|time| time.0.as_secs_f64())
    }

    #[test]
    fn times_are_gos() {
        assert_eq!(seconds("1m30s"), Some(90.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("1.5h"), Some(5400.0));
        assert_eq!(seconds("0"), Some(0.0));
        for bad in ["", "5", "s", "1d", "1m30", "-1s", "1..5s", "9999999h"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn commands_are_a_shells_or_words() {
        let words = |text: &str| match text.parse() {
            Ok(HealthCommand::Words(words)) => words,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            words("curl -f http://a"),
            ["/bin/sh", "-c", "curl -f http://a"]
        );
        assert_eq!(words("[\"a\", \"b c\"]"), ["a", "b c"]);
        assert_eq!(words("[ -e /a ]"), ["/bin/sh", "-c", "[ -e /a ]"]);
        assert_eq!(
            "none".parse::<HealthCommand>().unwrap(),
            HealthCommand::None
        );
        for bad in ["", " ", "[a]", "[]"] {
            assert!(bad.parse::<HealthCommand>().is_err(), "{bad}");
        }
    }

    const IMAGE: &str = r#"{"os":"linux","config":{"Cmd":["a"],"Healthcheck":
        {"Test":["CMD-SHELL","probe"],"Interval":2000000000,"Retries":5}}}"#;

    #[test]
    fn options_are_above_the_image_and_dockers_below() {
        let image = ImageHealth::of_configuration(IMAGE.as_bytes()).unwrap();
        let options = HealthOptions {
            interval: Some("1s".parse().unwrap()),
            on_failure: HealthAction::Kill,
            ..HealthOptions::default()
        };
        let settings = options.settings(image.as_ref()).unwrap().unwrap();
        assert_eq!(settings.command, ["/bin/sh", "-c", "probe"]);
        assert_eq!(settings.interval, Duration::from_secs(1));
        assert_eq!((settings.timeout, settings.retries), (TIMEOUT, 5));
        assert_eq!(settings.start_interval, START_INTERVAL);
        assert_eq!(settings.on_failure, HealthAction::Kill);
        assert!(options.settings(None).is_err(), "there is nothing to run");
        let none = HealthOptions {
            command: Some(HealthCommand::None),
            ..options
        };
        assert_eq!(none.settings(image.as_ref()).unwrap(), None);
        assert_eq!(HealthOptions::default().settings(None).unwrap(), None);
    }

    #[test]
    fn images_say_it_in_three_ways() {
        let command = |test: &[&str]| {
            let test = test.iter().map(ToString::to_string).collect();
            let image = ImageHealth {
                test,
                ..ImageHealth::default()
            };
            image.command()
        };
        let words = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(
            command(&["CMD", "a", "b"]).unwrap(),
            Some(HealthCommand::Words(words))
        );
        assert_eq!(command(&["NONE"]).unwrap(), Some(HealthCommand::None));
        assert_eq!(command(&[]).unwrap(), None);
        assert!(command(&["a"]).is_err());
        assert_eq!(ImageHealth::of_configuration(b"{}").unwrap(), None);
        assert!(ImageHealth::of_configuration(b"[").is_err());
    }
}
