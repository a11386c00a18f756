//! Options of `launch run` as they are collected: each as a word for the command line, and as a value.

use std::fmt::Display;
use std::str::FromStr;

use container_model::ContainerOptions;
use container_model::mount;

use crate::ApiError;

/// The two forms.
#[derive(Default)]
pub(super) struct Words {
    words: Vec<String>,
    pub(super) values: ContainerOptions,
}

impl Words {
    /// An option that has no type of its own; one without a value is a switch.
    pub(super) fn push(&mut self, flag: &str, text: &str) {
        let is_switch = text.is_empty();
        self.words.push(if is_switch {
            format!("--{flag}")
        } else {
            format!("--{flag}={text}")
        });
    }

    /// An option, with its value read.
    pub(super) fn add<T>(&mut self, flag: &str, path: &str, text: &str) -> Result<T, ApiError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let read = text.parse::<T>();
        self.judged(flag, path, text, read)
    }

    /// An option whose value was read by somebody else.
    pub(super) fn judged<T, E: Display>(
        &mut self,
        flag: &str,
        path: &str,
        text: &str,
        read: Result<T, E>,
    ) -> Result<T, ApiError> {
        self.push(flag, text);
        read.map_err(|error| ApiError::bad_request(format!("{path}: {error}")))
    }

    /// `--volume`.
    pub(super) fn add_volume(&mut self, path: &str, text: &str) -> Result<(), ApiError> {
        let mount = mount::parse_volume(text)
            .map_err(|error| ApiError::bad_request(format!("{path}: {error}")))?;
        self.push("volume", text);
        self.values.mounts.push(mount);
        Ok(())
    }

    /// The command line's form, whatever goes together.
    pub(super) fn into_words(self) -> Vec<String> {
        self.words
    }

    /// Both forms, if all goes together.
    pub(super) fn finish(self) -> Result<(Vec<String>, ContainerOptions), ApiError> {
        let checked = self.values.check();
        checked.map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok((self.words, self.values))
    }
}
