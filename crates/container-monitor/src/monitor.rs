//! The life of one container: created, started, watched, over.
//!
//! One loop waits for everything at once. What clients ask for is in `requests`, what is executed for them and checks
//! of health in `executions`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use monitor_protocol::exit::Outcome;
use monitor_protocol::health::{HealthStatus, OnFailure};
use monitor_protocol::{Event, ExitRecord};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitStatus, pidfd_open, pidfd_send_signal, set_child_subreaper,
};
use signal_hook::consts::{SIGKILL, SIGTERM};

use crate::arguments::{Arguments, Output, Readiness};
use crate::checkup::Checkup;
use crate::child::{self, Ended};
use crate::client::Clients;
use crate::console::Console;
use crate::execution::Execution;
use crate::exit::{Ending, NOT_EXECUTABLE};
use crate::input::Input;
use crate::journal::{Journal, Stream};
use crate::lines::Lines;
use crate::notify::{self, Proxy};
use crate::reading::{BUFFER, Reading};
use crate::registration::{News, Registration};
use crate::runtime::Until;
use crate::signals::Signals;
use crate::{cgroup, clock, record, runtime};

/// What survives longest when memory is short is who can say that it was short.
const OOM_SCORE: &str = "-900";
/// Buffers that are read of one stream before others have their turn.
const TURN: usize = 4;
/// For clients that do not take what was written last; each bit that one takes gives all as long again.
const FAREWELL: Duration = Duration::from_secs(5);
/// Where the runtime hands over the payload's terminal.
const CONSOLE: &str = "console";

/// Runs the container to its end.
pub(crate) fn run(arguments: &Arguments) -> Ending {
    let record = record::new(arguments);
    // The paths of sockets may be too long otherwise.
    if let Err(error) = std::env::set_current_dir(&arguments.bundle) {
        return failed("the container's folder")(error);
    }
    let ending = match Monitor::start(arguments, record.clone()) {
        Ok(mut monitor) => {
            let ending = monitor.watch();
            monitor.finish(&ending);
            monitor.of_unit(ending)
        }
        Err(ending) => {
            let outcome = outcome(&ending, false);
            record::write(arguments, &ExitRecord { outcome, ..record });
            ending
        }
    };
    runtime::delete(arguments);
    ending
}

/// What a record says of an end.
fn outcome(ending: &Ending, out_of_memory: bool) -> Outcome {
    let ended_at = clock::now();
    let reason = match ending {
        Ending::NotStarted { reason, .. } | Ending::Failed { reason } => reason.clone(),
        Ending::Exited(_) | Ending::Killed(_) => {
            return Outcome::Exited(ending.exit(out_of_memory, ended_at));
        }
    };
    let code = ending.exit(out_of_memory, ended_at).code;
    Outcome::Failed {
        code,
        reason,
        ended_at,
    }
}

pub(crate) struct Monitor<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) record: ExitRecord,
    signals: Signals,
    proxy: Proxy,
    pub(crate) clients: Clients,
    journal: Option<Journal>,
    /// Of the payload: two pipes, a terminal, or none.
    pub(crate) outputs: Vec<(Reading, Lines)>,
    pub(crate) input: Option<Input>,
    pub(crate) payload: Pid,
    /// Names the payload even if its number is given to another.
    handle: OwnedFd,
    pub(crate) phase: Phase,
    pub(crate) is_ready: bool,
    /// systemd, or whoever has its place, told this process to end.
    is_told_to_end: bool,
    watchdog: Option<Watchdog>,
    pub(crate) executions: Vec<Execution>,
    pub(crate) last_execution: u64,
    /// Processes that ended before it was known what they were.
    pub(crate) orphans: Vec<Ended>,
    pub(crate) checkup: Option<Checkup>,
    registration: Option<Registration>,
}

/// Where the payload is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Created, and waiting for a client that says start.
    Held,
    Running,
    /// Frozen.
    Paused,
    /// It is to end, and waits until nobody finds it any more, or until then.
    Leaving(Instant),
    /// It was told to end, and has until then.
    Stopping(Instant),
    /// It did not end in time.
    Killed,
    /// It could not be started, or ended before it was.
    Over(Ending),
}

/// What systemd hears from time to time, if nobody but the monitor can say it.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    due: Instant,
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Ending {
    move |error| Ending::failed(format!("{what}: {error}"))
}

impl<'a> Monitor<'a> {
    fn start(arguments: &'a Arguments, record: ExitRecord) -> Result<Self, Ending> {
        let signals = Signals::catch().map_err(failed("signals cannot be caught"))?;
        let own = Pid::from_raw(1); // any number: it switches it on
        set_child_subreaper(own)
            .map_err(|error| failed("orphans cannot be adopted")(error.into()))?;
        let _lowered = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
        let proxy = Proxy::listen().map_err(failed("the notify socket"))?;
        let clients = Clients::listen().map_err(failed("the control socket"))?;
        let Streams {
            journal,
            mut outputs,
            mut input,
            console,
            ends,
        } = Streams::open(arguments).map_err(failed("the payload's streams"))?;
        let path = console.as_ref().map(|_| Path::new(CONSOLE));
        let hold = arguments.hold.as_ref();
        let until = match hold.filter(|path| path.exists()) {
            Some(_) => Until::Created,
            None => Until::Running,
        };
        let payload = runtime::create(arguments, until, ends, path)?;
        let handle = pidfd_open(payload, PidfdFlags::empty())
            .map_err(|error| failed("the payload is gone")(error.into()))?;
        if let Some(console) = console {
            let (reading, writing) = terminal(&console).map_err(failed("the terminal"))?;
            outputs.push((reading, Lines::of_terminal()));
            input = Some(writing);
        }
        Ok(Self {
            arguments,
            record,
            signals,
            proxy,
            clients,
            journal,
            outputs,
            input,
            payload,
            handle,
            phase: match until {
                Until::Created => Phase::Held,
                Until::Running => Phase::Running,
            },
            is_ready: false,
            is_told_to_end: false,
            watchdog: Watchdog::of_unit(arguments.readiness),
            executions: Vec::new(),
            last_execution: 0,
            orphans: Vec::new(),
            checkup: None,
            registration: Registration::new(arguments),
        })
    }

    fn watch(&mut self) -> Ending {
        if self.phase == Phase::Held {
            notify::tell("STATUS=Created; held until a client says start");
        } else {
            self.has_begun();
        }
        loop {
            let ended = self.reap();
            // One that was held and told to end was killed for want of ears, which is not its end.
            if let Phase::Over(ending) = &self.phase {
                return ending.clone();
            }
            if let Some(ending) = ended {
                return self.judged(ending);
            }
            self.wait();
            self.turn();
        }
    }

    /// Does what there is to do.
    fn turn(&mut self) {
        if self.proxy.forward() {
            self.ready();
        }
        if !self.clients.is_waited_for() {
            self.forward_output();
        }
        for signal in self.signals.take() {
            self.is_told_to_end |= signal == SIGTERM;
            self.pass_on(signal);
        }
        self.serve();
        let now = Instant::now();
        self.check_health(now);
        self.register(now);
        self.stop_if_left(now);
        self.kill_if_late(now);
        let is_well = !self.checkup.as_ref().is_some_and(Checkup::is_unhealthy);
        if let Some(watchdog) = self.watchdog.as_mut().filter(|_| is_well) {
            watchdog.feed(now);
        }
    }

    /// Lets a payload begin that was held.
    pub(crate) fn begin(&mut self) {
        if let Err(ending) = runtime::start(self.arguments) {
            self.phase = Phase::Over(ending);
            return;
        }
        self.phase = Phase::Running;
        self.has_begun();
    }

    fn has_begun(&mut self) {
        self.record.started_at = Some(clock::now());
        let check = self.arguments.health.clone();
        self.checkup = check.map(|check| Checkup::new(check, Instant::now()));
        match self.arguments.readiness {
            Readiness::Start => {
                self.ready();
                notify::tell("READY=1\nSTATUS=Running");
            }
            Readiness::Payload => notify::tell("STATUS=Started; not ready yet"),
            Readiness::Healthy => notify::tell("STATUS=Started; not healthy yet"),
        }
        // The disk may be slow, and nobody who waits for readiness waits for it.
        record::write(self.arguments, &self.record);
        self.clients.status_changed();
        self.register(Instant::now());
    }

    fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            self.clients.status_changed();
        }
    }

    /// Its health is another one than before.
    pub(crate) fn health_changed(&mut self) {
        self.clients.status_changed();
        let Some(checkup) = &self.checkup else {
            return;
        };
        let health = checkup.health();
        let on_failure = checkup.check().on_failure;
        let status = health.status;
        let failed = health.failing_streak;
        match status {
            HealthStatus::Healthy if self.arguments.readiness == Readiness::Healthy => {
                self.ready();
                notify::tell("READY=1\nSTATUS=Running; healthy");
            }
            HealthStatus::Healthy => notify::tell("STATUS=Running; healthy"),
            HealthStatus::Starting => {}
            HealthStatus::Unhealthy => {
                notify::tell(&format!(
                    "STATUS=Running; unhealthy: {failed} checks failed in a row"
                ));
                self.act_on_bad_health(on_failure);
            }
        }
    }

    fn act_on_bad_health(&mut self, on_failure: OnFailure) {
        let name = &self.arguments.name;
        match on_failure {
            OnFailure::None => {}
            OnFailure::Kill => {
                eprintln!("launch: {name} is unhealthy: it is killed");
                self.send(Signal::KILL);
            }
            OnFailure::Restart => {
                eprintln!("launch: {name} is unhealthy: it is stopped, and its unit fails");
                self.pass_on(SIGTERM);
            }
            OnFailure::Stop => {
                eprintln!("launch: {name} is unhealthy: its unit is stopped");
                match &self.arguments.unit {
                    Some(unit) => runtime::stop_unit(unit),
                    None => self.pass_on(SIGTERM),
                }
            }
        }
    }

    /// An unhealthy payload that ended well is a failure all the same, if its unit is to start it again.
    fn judged(&self, ending: Ending) -> Ending {
        let is_failure = self.checkup.as_ref().is_some_and(|checkup| {
            checkup.is_unhealthy() && checkup.check().on_failure == OnFailure::Restart
        });
        match ending {
            Ending::Exited(0) if is_failure => Ending::Exited(1),
            Ending::Killed(signal) if is_failure => {
                Ending::Exited(u8::try_from(128 + signal).unwrap_or(u8::MAX))
            }
            other => other,
        }
    }

    /// The end that systemd sees. A payload that had to be killed after a stop that was asked for is no failure of its unit:
    /// that ends as it was told to. Neither memory that was short nor an unhealthy payload is excused by that.
    fn of_unit(&self, ending: Ending) -> Ending {
        let was_killed = ending == Ending::Killed(SIGKILL);
        let is_asked_for = self.is_told_to_end && self.arguments.unit.is_some();
        if was_killed && is_asked_for && !cgroup::was_out_of_memory(self.arguments) {
            return Ending::Killed(SIGTERM);
        }
        ending
    }

    /// What the payload wrote, to the journal and to who is attached. Gives back whether there was anything.
    fn forward_output(&mut self) -> bool {
        let Some(journal) = &self.journal else {
            return false;
        };
        let mut buffer = [0; BUFFER];
        let mut is_some = false;
        for (reading, lines) in &mut self.outputs {
            let stream = reading.stream();
            for _ in 0..TURN {
                let Some(bytes) = reading.read(&mut buffer) else {
                    break;
                };
                is_some = true;
                lines.take(bytes, |line| journal.write(stream, line));
                self.clients.output(stream.kind(), bytes);
            }
        }
        is_some
    }

    /// Until something has come, or is due.
    fn wait(&self) {
        let mut waited = Vec::new();
        let mut reads =
            |descriptor| waited.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
        reads(self.signals.wake().as_fd());
        reads(self.proxy.socket().as_fd());
        self.clients
            .listener()
            .into_iter()
            .for_each(|listener| reads(listener.as_fd()));
        if !self.clients.is_waited_for() {
            let open = self
                .outputs
                .iter()
                .filter_map(|(reading, _)| reading.descriptor());
            open.for_each(&mut reads);
        }
        self.outputs_of_executions()
            .into_iter()
            .for_each(&mut reads);
        for client in &self.clients.all {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.is_heard(client));
            flags.set(PollFlags::OUT, !client.outgoing.is_empty());
            if !flags.is_empty() {
                waited.push(PollFd::new(client.stream(), flags));
            }
        }
        let registration = self.registration.as_ref();
        if let Some(stream) = registration.and_then(Registration::stream) {
            waited.push(PollFd::new(stream, PollFlags::IN));
        }
        for descriptor in self.full_inputs() {
            waited.push(PollFd::from_borrowed_fd(descriptor, PollFlags::OUT));
        }
        // An interruption is a signal, which the loop looks for anyway.
        let _ready = poll(&mut waited, self.timeout().as_ref());
    }

    /// Inputs that wait for their process.
    fn full_inputs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let of_executions = self.executions.iter().filter_map(|one| one.input.as_ref());
        let all = self.input.iter().chain(of_executions);
        all.filter_map(Input::descriptor)
    }

    fn timeout(&self) -> Option<Timespec> {
        let stop = match self.phase {
            Phase::Stopping(until) | Phase::Leaving(until) => Some(until),
            _ => None,
        };
        // Only what runs is checked.
        let checkup = self.checkup.as_ref();
        let checkup = checkup.filter(|_| self.phase == Phase::Running);
        let health = checkup.and_then(Checkup::deadline);
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.due);
        let registration = self.registration.as_ref();
        let registration = registration.and_then(Registration::deadline);
        let all = [stop, health, watchdog, registration];
        let next = all.into_iter().flatten().min()?;
        let time = next.saturating_duration_since(Instant::now());
        Timespec::try_from(time).ok()
    }

    /// Every child that ended: the payload, processes that were executed, and orphans of the runtime.
    fn reap(&mut self) -> Option<Ending> {
        let mut ending = None;
        while let Some(ended) = child::next() {
            if ended.pid == self.payload {
                ending = Some(ending_of(&ended));
            } else {
                self.orphans.push(ended);
            }
        }
        self.take_orphans();
        ending
    }

    /// What was written and said before the end; then the end is told.
    fn finish(&mut self, ending: &Ending) {
        // Nobody is left who would have to wait.
        self.phase = Phase::Killed;
        self.register(Instant::now());
        self.proxy.forward();
        // Its writers are dead, so this ends.
        while self.forward_output() {}
        if let Some(journal) = &self.journal {
            for (reading, lines) in &mut self.outputs {
                lines.finish(|line| journal.write(reading.stream(), line));
            }
        }
        let out_of_memory = cgroup::was_out_of_memory(self.arguments);
        if out_of_memory {
            let name = &self.arguments.name;
            eprintln!("launch: {name}: memory was short, and the kernel killed a process of it");
            notify::tell("STATUS=Ended after the kernel killed a process because memory was short");
        }
        self.record.outcome = outcome(ending, out_of_memory);
        record::write(self.arguments, &self.record);
        let exit = ending.exit(out_of_memory, clock::now());
        self.clients.exited(&Event::Exited(exit));
        self.clients.say_farewell(FAREWELL);
    }

    /// Announces the payload while it can be used, and takes that back otherwise.
    fn register(&mut self, now: Instant) {
        let checkup = self.checkup.as_ref();
        let is_good = checkup.is_none_or(Checkup::is_healthy);
        let is_wanted = self.phase == Phase::Running && self.is_ready && is_good;
        let Some(registration) = &mut self.registration else {
            return;
        };
        let was_alone = registration.is_alone();
        if let Err(error) = registration.set(is_wanted, now) {
            let name = &self.arguments.name;
            eprintln!("launch: {name}: the announcement for registration: {error}");
        }
        let news = registration.turn(now);
        let is_alone = registration.is_alone() && !was_alone;
        if let Some(news) = news.or(is_alone.then_some(News::NobodyThere)) {
            self.tell_registration(&news);
        }
    }

    /// The status of a payload that says its own is left to it.
    fn tell_registration(&self, news: &News) {
        let (name, news) = (&self.arguments.name, news.to_string());
        eprintln!("launch: {name} is {news}");
        if self.arguments.readiness != Readiness::Payload {
            let health = if self.checkup.is_some() {
                "; healthy"
            } else {
                ""
            };
            notify::tell(&format!("STATUS=Running{health}; {news}"));
        }
    }

    /// Who is found no more is told to end.
    fn stop_if_left(&mut self, now: Instant) {
        let Phase::Leaving(until) = self.phase else {
            return;
        };
        let is_found = self
            .registration
            .as_ref()
            .is_some_and(Registration::is_waiting);
        if is_found && now < until {
            return;
        }
        if is_found {
            let name = &self.arguments.name;
            eprintln!("launch: {name} is stopped before the key-value store has heard of it");
        }
        self.phase = Phase::Stopping(now + self.arguments.stop_timeout);
        self.kill(self.arguments.stop_signal);
    }

    /// A payload without a handler never sees a signal that would end it: it is the first process of its
    /// namespace. So Docker kills what does not end in time, and so do we, while somebody is left to clean up.
    fn kill_if_late(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Stopping(until) if until <= now) {
            let seconds = self.arguments.stop_timeout.as_secs();
            notify::tell(&format!("STATUS=Killed: it did not end within {seconds} s"));
            self.send(Signal::KILL);
            self.phase = Phase::Killed;
        }
    }

    /// It fails only for a payload that has just ended.
    fn send(&self, signal: Signal) {
        let _sent = pidfd_send_signal(&self.handle, signal);
    }

    fn pass_on(&mut self, signal: i32) {
        if signal != SIGTERM {
            self.kill(signal);
            return;
        }
        notify::tell("STOPPING=1\nSTATUS=Stopping");
        let now = Instant::now();
        let until = now + self.arguments.stop_timeout;
        match self.phase {
            Phase::Held => {
                self.send(Signal::KILL);
                self.phase = Phase::Over(Ending::Killed(SIGTERM));
                return;
            }
            Phase::Paused => {
                // What is frozen hears nothing.
                let _thawed = cgroup::freeze(self.arguments, false);
                self.phase = Phase::Stopping(until);
            }
            Phase::Running => {
                self.phase = Phase::Stopping(until);
                self.register(now);
                let registration = self.registration.as_ref();
                if let Some(left) = registration.and_then(|one| one.farewell(now)) {
                    self.phase = Phase::Leaving(left);
                    self.clients.status_changed();
                    return;
                }
            }
            // It is told in time.
            Phase::Leaving(_) => return,
            Phase::Stopping(_) | Phase::Killed | Phase::Over(_) => {}
        }
        self.clients.status_changed();
        self.kill(self.arguments.stop_signal);
    }

    /// A signal for the payload, as it is.
    pub(crate) fn kill(&self, signal: i32) {
        match Signal::from_named_raw(signal) {
            Some(signal) => self.send(signal),
            // A real-time signal, such as the one that ends a systemd.
            None => runtime::kill(self.arguments, signal),
        }
    }
}

/// The payload's streams, on both sides.
struct Streams {
    journal: Option<Journal>,
    outputs: Vec<(Reading, Lines)>,
    input: Option<Input>,
    console: Option<Console>,
    ends: [Stdio; 3],
}

impl Streams {
    fn open(arguments: &Arguments) -> std::io::Result<Self> {
        let mut streams = Self {
            journal: None,
            outputs: Vec::new(),
            input: None,
            console: None,
            ends: [Stdio::null(), Stdio::inherit(), Stdio::inherit()],
        };
        if arguments.output == Output::Inherited && !arguments.has_terminal {
            if arguments.has_input {
                streams.ends[0] = Stdio::inherit();
            }
            return Ok(streams);
        }
        streams.journal = Some(Journal::connect(&arguments.name, &arguments.image)?);
        if arguments.has_terminal {
            // What the runtime says is in its log, and told from there.
            streams.ends = [Stdio::null(), Stdio::null(), Stdio::null()];
            streams.console = Some(Console::listen(CONSOLE.to_owned())?);
            return Ok(streams);
        }
        for (at, stream) in [(1, Stream::Output), (2, Stream::Error)] {
            let (reading, end) = Reading::pipe(stream)?;
            streams.outputs.push((reading, Lines::default()));
            streams.ends[at] = end.into();
        }
        if arguments.has_input {
            let (input, end) = Input::pipe()?;
            streams.input = Some(input);
            streams.ends[0] = end.into();
        }
        Ok(streams)
    }
}

fn terminal(console: &Console) -> std::io::Result<(Reading, Input)> {
    let master = console.receive()?;
    let reading = Reading::terminal(master.try_clone()?)?;
    Ok((reading, Input::terminal(master)))
}

impl Watchdog {
    /// Half of what systemd allows, if nobody but the monitor can say that it is alive.
    fn of_unit(readiness: Readiness) -> Option<Self> {
        let allowed: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
        let every = Duration::from_micros(allowed / 2).max(Duration::from_millis(1));
        (readiness != Readiness::Payload).then(|| Self {
            every,
            due: Instant::now(),
        })
    }

    fn feed(&mut self, now: Instant) {
        if self.due <= now {
            notify::tell("WATCHDOG=1");
            self.due = now + self.every;
        }
    }
}

fn ending_of(ended: &Ended) -> Ending {
    let status: WaitStatus = ended.status;
    if ended.could_not_begin() {
        // The runtime said more on the payload's standard error.
        return Ending::NotStarted {
            code: NOT_EXECUTABLE,
            reason: "the kernel does not execute the program, or what its first line names"
                .to_owned(),
        };
    }
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Ending::Killed(signal),
        (None, None) => Ending::failed("the payload ended in a way that the kernel does not tell"),
    }
}
