//! Programs that were executed in containers, or are to be, from their creation until their container is removed.
//!
//! They are in memory: the containers' monitors have those that run, and a launcherd that is started anew knows
//! nothing of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_api::ApiError;
use engine_api::exec::{ExecCreation, ExecState};
use monitor_protocol::{Request, WindowSize};
use parking_lot::Mutex;

use crate::monitor::Sending;

/// As long as Docker, so that whoever started it can ask for its code.
const KEPT: Duration = Duration::from_mins(5);

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct Executions(Mutex<HashMap<String, Arc<Execution>>>);

/// One.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    /// The container's.
    pub(crate) container: String,
    pub(crate) creation: ExecCreation,
    progress: Mutex<Progress>,
    /// To the monitor, while it runs.
    pub(crate) sending: tokio::sync::Mutex<Option<Sending>>,
}

#[derive(Debug)]
struct Progress {
    state: ExecState,
    /// Asked for before it was started.
    size: Option<WindowSize>,
    ended: Option<Instant>,
}

impl Executions {
    /// A new one.
    pub(crate) fn add(&self, id: String, container: &str, creation: ExecCreation) {
        let progress = Progress {
            state: ExecState::Created,
            size: creation.size,
            ended: None,
        };
        let execution = Execution {
            id: id.clone(),
            container: container.to_owned(),
            creation,
            progress: Mutex::new(progress),
            sending: tokio::sync::Mutex::new(None),
        };
        let mut all = self.0.lock();
        all.retain(|_, one| !one.is_old());
        all.insert(id, Arc::new(execution));
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Execution>, ApiError> {
        let found = self.0.lock().get(id).cloned();
        found.ok_or_else(|| ApiError::not_found(format!("No such exec instance: {id}")))
    }

    /// Those of a container that run.
    pub(crate) fn running(&self, container: &str) -> Vec<String> {
        let all = self.0.lock();
        let of_it = all.values().filter(|one| one.container == container);
        let running = of_it.filter(|one| one.state().is_running());
        running.map(|one| one.id.clone()).collect()
    }

    /// Forgets those of a container that is gone.
    pub(crate) fn forget(&self, container: &str) {
        self.0.lock().retain(|_, one| one.container != container);
    }
}

impl Execution {
    pub(crate) fn state(&self) -> ExecState {
        self.progress.lock().state
    }

    fn is_old(&self) -> bool {
        let ended = self.progress.lock().ended;
        ended.is_some_and(|ended| ended.elapsed() > KEPT)
    }

    /// It is started now, once. Gives back its terminal's size.
    pub(crate) fn begin(&self) -> Result<Option<WindowSize>, ApiError> {
        let mut progress = self.progress.lock();
        let id = &self.id;
        match progress.state {
            ExecState::Created => {
                progress.state = ExecState::Starting;
                Ok(progress.size)
            }
            ExecState::Starting | ExecState::Running { .. } => Err(ApiError::conflict(format!(
                "Exec command {id} is already running"
            ))),
            ExecState::Exited { .. } => Err(ApiError::conflict(format!(
                "Exec command {id} has already run"
            ))),
        }
    }

    pub(crate) fn runs(&self, pid: u32) {
        self.progress.lock().state = ExecState::Running { pid };
    }

    pub(crate) async fn ended(&self, code: u8) {
        {
            let mut progress = self.progress.lock();
            progress.state = ExecState::Exited { code };
            progress.ended = Some(Instant::now());
        }
        *self.sending.lock().await = None;
    }

    /// Its terminal has another size, now or from its start.
    pub(crate) async fn resize(&self, size: WindowSize) -> Result<(), ApiError> {
        if !self.creation.has_terminal {
            return Err(ApiError::conflict(format!(
                "Exec command {} has no terminal",
                self.id
            )));
        }
        {
            let mut progress = self.progress.lock();
            if let ExecState::Exited { .. } = progress.state {
                let reason = format!("Exec command {} is not running", self.id);
                return Err(ApiError::conflict(reason));
            }
            progress.size = Some(size);
        }
        if let Some(sending) = self.sending.lock().await.as_mut() {
            // It may just have ended.
            let _sent = sending.request(&Request::Resize(size)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_started_once_and_stays_until_its_container_goes() {
        let all = Executions::default();
        let creation = ExecCreation::parse(br#"{"Cmd":["sh"],"Tty":true}"#).unwrap();
        all.add("e".to_owned(), "c", creation);
        let one = all.find("e").unwrap();
        let size = WindowSize {
            rows: 1,
            columns: 2,
        };
        one.resize(size).await.unwrap();
        assert_eq!(one.begin(), Ok(Some(size)));
        assert_eq!(one.begin().unwrap_err().status, 409);
        assert_eq!(all.running("c"), ["e"]);
        one.runs(7);
        one.ended(3).await;
        assert_eq!(one.state(), ExecState::Exited { code: 3 });
        assert_eq!(one.resize(size).await.unwrap_err().status, 409);
        assert!(all.running("c").is_empty());
        all.forget("c");
        assert_eq!(all.find("e").unwrap_err().status, 404);
    }
}
