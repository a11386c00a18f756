//! The D-Bus service `org.keelson.Update1`, in a process that ends when nobody asks any more.
//!
//! Who may call is the bus's policy. Does the work in threads, so that progress is told meanwhile: the
//! properties `Progress` and `State` change a few times a second at the most, with the signal of all properties.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use update_model::record::Record;
use zbus::fdo;
use zbus::object_server::InterfaceRef;

use crate::host::LiveHost;
use crate::lock;
use crate::reboot::{self, Occasion, Surroundings};
use crate::rollback::{Direction, Rolled, roll};
use crate::run::{Goal, Order, OrderedBy, Outcome, run};
use crate::watcher::{Progress, SharedWatcher, Watcher as _};

/// The name on the bus.
pub const NAME: &str = "org.keelson.Update1";
/// The object.
pub const PATH: &str = "/org/keelson/Update1";
/// Without a call for so long the process ends.
const IDLE: Duration = Duration::from_secs(15);
/// A call that was sent before the name was given up has arrived by then.
const GRACE: Duration = Duration::from_millis(500);

/// Between two signals.
const SIGNAL_PERIOD: Duration = Duration::from_millis(250);

/// Calls that are worked on, and when the last one ended.
#[derive(Debug)]
struct Activity {
    running: AtomicUsize,
    last: Mutex<Instant>,
}

impl Activity {
    fn is_idle_for(&self, duration: Duration) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.running.load(Ordering::SeqCst) == 0 && last.elapsed() >= duration
    }
}

/// Counts a call as long as it lives.
struct Call(Arc<Activity>);

impl Call {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(activity))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The object on the bus.
#[derive(Debug)]
struct Manager {
    root: SystemRoot,
    watcher: Arc<SharedWatcher>,
    activity: Arc<Activity>,
}

#[zbus::interface(name = "org.keelson.Update1.Manager")]
impl Manager {
    /// Runs an update. `goal` is `check`, `download` or `install`, an empty `from` means the settings' source.
    /// Returns when that is done, with a sentence on what came of it.
    async fn update(
        &self,
        goal: String,
        from: String,
        retry: bool,
        scheduled: bool,
    ) -> fdo::Result<String> {
        let order = order(&goal, from, retry, scheduled)?;
        let (root, watcher) = (self.root.clone(), Arc::clone(&self.watcher));
        self.work(move || update(&root, &order, &watcher)).await
    }

    /// Makes the boot loader prefer the other slot's version, which is older, or newer if `forward`; or withdraws
    /// what waits there for its first boot. Returns the version that boots next, and the one that was
    /// withdrawn, which is empty if none was.
    async fn rollback(&self, forward: bool) -> fdo::Result<(String, String)> {
        let root = self.root.clone();
        let direction = if forward {
            Direction::Forward
        } else {
            Direction::Back
        };
        self.work(move || {
            Ok(match roll(&root, direction)? {
                Rolled::Boots(version) => (version.to_string(), String::new()),
                Rolled::Withdrawn { version, running } => {
                    (running.to_string(), version.to_string())
                }
            })
        })
        .await
    }

    /// Reboots into what is installed, if something is and the settings allow it now; else sees to it that the
    /// question is asked again. Returns a sentence on that.
    async fn reboot_when_it_suits(&self) -> fdo::Result<String> {
        let (root, watcher) = (self.root.clone(), Arc::clone(&self.watcher));
        let done = self
            .work(move || reboot_when_it_suits(&root, &watcher))
            .await;
        // Whoever asks does not wait for the answer.
        match &done {
            Ok(text) => eprintln!("updaterd: {text}"),
            Err(error) => eprintln!("updaterd: {error}"),
        }
        done
    }

    /// Who holds the cluster's reboot lock, as JSON.
    async fn lock_status(&self) -> fdo::Result<String> {
        let root = self.root.clone();
        self.work(move || {
            let view = lock::view(&root, &update_files::read_settings(&root)?)?;
            Ok(serde_json::to_string_pretty(&view)?)
        })
        .await
    }

    /// Takes a machine's slot of the lock away. Returns a sentence on that.
    async fn unlock(&self, machine: String) -> fdo::Result<String> {
        let root = self.root.clone();
        self.work(move || lock::unlock(&root, &update_files::read_settings(&root)?, &machine))
            .await
    }

    /// Changes how many machines may hold the lock at once. Returns a sentence on that.
    async fn set_lock_slots(&self, slots: u32) -> fdo::Result<String> {
        let root = self.root.clone();
        self.work(move || lock::set_slots(&root, &update_files::read_settings(&root)?, slots))
            .await
    }

    /// What is being done, how much of it, and how much there is; nothing of all that between runs.
    #[zbus(property)]
    fn progress(&self) -> (String, u64, u64) {
        let progress = self.watcher.last();
        (progress.phase, progress.done, progress.total)
    }

    /// The name of the state that updates are in, and the version that it is about; an empty one if it is
    /// about none. The names are those of `osctl status --json`.
    #[zbus(property)]
    fn state(&self) -> (String, String) {
        let record: Record = update_files::read_record(&self.root).unwrap_or_default();
        let version = record.state.release().map(|release| &release.version);
        let version = version.map_or(String::new(), ToString::to_string);
        (record.state.name().to_owned(), version)
    }
}

impl Manager {
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> fdo::Result<T> {
        let call = Call::begin(&self.activity);
        let done = tokio::task::spawn_blocking(work).await;
        drop(call);
        // Nothing is done any more, and the state may be another.
        self.watcher.phase("");
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(fdo::Error::Failed(format!("{error:#}"))),
            Err(error) => Err(fdo::Error::Failed(error.to_string())),
        }
    }
}

fn order(goal: &str, from: String, retry: bool, scheduled: bool) -> fdo::Result<Order> {
    let goal = match goal {
        "check" => Goal::Check,
        "download" => Goal::Download,
        "install" => Goal::Install,
        other => {
            let text = format!("{other:?} is no goal: check, download or install");
            return Err(fdo::Error::InvalidArgs(text));
        }
    };
    Ok(Order {
        goal,
        from: (!from.is_empty()).then_some(from),
        retry,
        by: if scheduled {
            OrderedBy::Timer
        } else {
            OrderedBy::Hand
        },
    })
}

/// A run, and for the timer the reboot that follows from it.
fn update(root: &SystemRoot, order: &Order, watcher: &SharedWatcher) -> anyhow::Result<String> {
    let outcome = run(root, order, watcher)?;
    let text = outcome.sentence();
    let is_waiting = matches!(outcome, Outcome::Installed(_) | Outcome::Waiting(_));
    if order.by == OrderedBy::Hand {
        return Ok(text);
    }
    if !is_waiting {
        // What an earlier reboot left undone.
        if let Err(error) = reboot::back_in_service(root, Occasion::Check) {
            eprintln!("updaterd: {error:#}");
        }
        return Ok(text);
    }
    Ok(format!("{text}; {}", reboot_when_it_suits(root, watcher)?))
}

fn reboot_when_it_suits(root: &SystemRoot, watcher: &SharedWatcher) -> anyhow::Result<String> {
    let done = reboot::when_it_suits(Surroundings {
        root,
        host: &LiveHost,
        watcher,
    });
    watcher.phase("");
    Ok(done?.unwrap_or_else(|| "nothing waits for a reboot".to_owned()))
}

/// Serves until nobody has asked for a while.
pub fn serve(root: &SystemRoot) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for calls")?;
    runtime.block_on(serve_until_idle(root))
}

async fn serve_until_idle(root: &SystemRoot) -> anyhow::Result<()> {
    let builder = zbus::connection::Builder::system().name(NAME);
    let service = Service::offer(root, builder)
        .await
        .with_context(|| format!("cannot offer {NAME} on the system bus"))?;
    let (connection, activity) = (&service.connection, &service.activity);
    while !activity.is_idle_for(IDLE) {
        tokio::time::sleep(IDLE / 5).await;
    }
    connection
        .release_name(NAME)
        .await
        .context("cannot give up the name on the bus")?;
    tokio::time::sleep(GRACE).await;
    while !activity.is_idle_for(GRACE) {
        tokio::time::sleep(GRACE).await;
    }
    Ok(())
}

/// The object on a connection, as long as this is there.
#[derive(Debug)]
pub struct Service {
    connection: zbus::Connection,
    activity: Arc<Activity>,
}

impl Service {
    /// Offers the object on a connection that is to be built.
    ///
    /// # Errors
    /// If it cannot be built.
    pub async fn offer(
        root: &SystemRoot,
        builder: zbus::connection::Builder<'_>,
    ) -> zbus::Result<Self> {
        let activity = Arc::new(Activity {
            running: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        });
        let manager = Manager {
            root: root.clone(),
            watcher: Arc::default(),
            activity: Arc::clone(&activity),
        };
        let connection = builder.serve_at(PATH, manager).build().await?;
        let interface = connection.object_server().interface(PATH).await?;
        tokio::spawn(announce(interface));
        Ok(Self {
            connection,
            activity,
        })
    }
}

/// Tells of what changes, as long as there is a service. That nobody listens is no reason to stop.
async fn announce(interface: InterfaceRef<Manager>) {
    let mut changes = interface.get().await.watcher.follow();
    let mut told = (Progress::default(), interface.get().await.state());
    while changes.changed().await.is_ok() {
        let manager = interface.get().await;
        let emitter = interface.signal_emitter();
        let now = (changes.borrow_and_update().clone(), manager.state());
        if now.0 != told.0 {
            report(manager.progress_changed(emitter).await);
        }
        if now.1 != told.1 {
            report(manager.state_changed(emitter).await);
        }
        told = now;
        drop(manager);
        tokio::time::sleep(SIGNAL_PERIOD).await;
    }
}

fn report(sent: zbus::Result<()>) {
    if let Err(error) = sent {
        eprintln!("updaterd: cannot tell how far it is: {error}");
    }
}
