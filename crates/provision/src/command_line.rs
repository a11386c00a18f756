//! What the kernel command line says of the first boot.
//!
//! | key                          | meaning                                                          |
//! |------------------------------|------------------------------------------------------------------|
//! | `keelson.config=URL`         | the configuration is at this address of http or https            |
//! | `keelson.config.digest=HASH` | `sha256-` or `sha512-` and digits: it has these bytes             |
//! | `keelson.platform=NAME`      | the metadata service to be asked, whatever the firmware says; `none` |
//! | `keelson.metadata=URL`       | where that service is, instead of its usual address              |
//! | `ds=nocloud;s=URL`           | cloud-init's NoCloud: a server with `user-data` and `meta-data`  |
//! | `keelson.emergency=1`        | a root shell on the console while no configuration can be applied |
//!
//! Other words are for others.

use provision_model::plan::Digest;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Where the configuration is.
    pub config: Option<String>,
    /// What its bytes hash to.
    pub digest: Option<Digest>,
    /// The name of a platform.
    pub platform: Option<String>,
    /// Where its service is.
    pub metadata: Option<String>,
    /// What stands after `ds=`.
    pub data_source: Option<String>,
}

/// A value that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value} on the kernel command line is not {expected}")]
pub struct CommandLineError {
    key: &'static str,
    value: String,
    expected: &'static str,
}

impl CommandLine {
    /// From `/proc/cmdline`'s text. Of a key that comes twice the last counts.
    ///
    /// # Errors
    /// If a value of ours cannot be.
    pub fn parse(text: &str) -> Result<Self, CommandLineError> {
        let mut line = Self::default();
        for word in words(text) {
            if let Some((key, value)) = word.split_once('=') {
                line.take(key, value)?;
            }
        }
        Ok(line)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), CommandLineError> {
        match key {
            "keelson.config" => self.config = Some(address("keelson.config", value)?),
            "keelson.metadata" => {
                let base = address("keelson.metadata", value)?;
                self.metadata = Some(base.trim_end_matches('/').to_owned());
            }
            "keelson.config.digest" => {
                let digest = Digest::parse(value).ok_or_else(|| CommandLineError {
                    key: "keelson.config.digest",
                    value: value.to_owned(),
                    expected: "sha256- or sha512- with its digits",
                })?;
                self.digest = Some(digest);
            }
            "keelson.platform" => self.platform = Some(value.to_owned()),
            "ds" => self.data_source = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }
}

/// Whether a kernel command line asks for a root shell where the boot stops, whatever else stands on it.
pub fn asks_for_shell(text: &str) -> bool {
    let asked = words(text).filter_map(|word| match word.as_str() {
        "keelson.emergency" | "keelson.emergency=1" => Some(true),
        "keelson.emergency=0" => Some(false),
        _ => None,
    });
    asked.last().unwrap_or(false)
}

fn address(key: &'static str, value: &str) -> Result<String, CommandLineError> {
    if value.starts_with("http://") || value.starts_with("https://") {
        return Ok(value.to_owned());
    }
    Err(CommandLineError {
        key,
        value: value.to_owned(),
        expected: "an address of http or https",
    })
}

/// Splits as the kernel does: at blanks outside double quotes, which are dropped.
fn words(command_line: &str) -> impl Iterator<Item = String> {
    let mut quoted = false;
    let separated = command_line.split(move |character: char| {
        quoted ^= character == '"';
        character.is_ascii_whitespace() && !quoted
    });
    separated.map(|word| word.replace('"', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_read_and_others_passed_over() {
        let text = "quiet keelson.soak=1 \"keelson.config=https://x/a b\" keelson.platform=gce \
                    keelson.metadata=http://10.0.2.2:80/ ds=nocloud;s=http://y/\n";
        let line = CommandLine::parse(text).unwrap();
        assert_eq!(line.config.as_deref(), Some("https://x/a b"));
        assert_eq!(line.platform.as_deref(), Some("gce"));
        assert_eq!(line.metadata.as_deref(), Some("http://10.0.2.2:80"));
        assert_eq!(line.data_source.as_deref(), Some("nocloud;s=http://y/"));
        assert_eq!(
            CommandLine::parse("console=ttyS0"),
            Ok(CommandLine::default())
        );
    }

    #[test]
    fn a_shell_is_there_only_if_asked_for() {
        for (text, asked) in [
            ("quiet", false),
            ("keelson.emergency", true),
            ("keelson.config=ftp://wrong keelson.emergency=1\n", true),
            ("keelson.emergency=1 keelson.emergency=0", false),
            ("keelson.emergency=yes", false),
            ("x=\"a keelson.emergency=1\" keelson.emergency.x", false),
        ] {
            assert_eq!(asks_for_shell(text), asked, "{text}");
        }
    }

    #[test]
    fn values_that_cannot_be_name_their_key() {
        for text in [
            "keelson.config=ftp://x",
            "keelson.config=",
            "keelson.metadata=x",
            "keelson.config.digest=md5-00",
        ] {
            let key = text.split('=').next().unwrap();
            let error = CommandLine::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}=")), "{error}");
        }
    }
}
