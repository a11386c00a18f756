//! The sequence under a clock that only moves when it is slept on, and a scripted machine.
use super::*;
use crate::health_check::tests::healthy;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// The kernel was already this old when the check began.
const START_MILLISECONDS: u64 = 4_000;

#[derive(Clone)]
struct FakeClock(Rc<Cell<u64>>);

impl Clock for FakeClock {
    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.0.get())
    }

    fn sleep(&mut self, duration: Duration) {
        assert!(!duration.is_zero(), "a busy loop");
        let milliseconds = u64::try_from(duration.as_millis()).unwrap();
        self.0.set(self.0.get() + milliseconds);
    }
}

/// Healthy or not as a function of the milliseconds since the check began.
struct FakeMachine<F> {
    clock: FakeClock,
    is_healthy: F,
}

impl<F: Fn(u64) -> bool> ViewSource for FakeMachine<F> {
    fn view(&mut self) -> Result<HealthView, Box<dyn Error>> {
        let mut view = healthy();
        if !(self.is_healthy)(self.clock.0.get() - START_MILLISECONDS) {
            view.failed_units.push("a.service".to_owned());
        }
        Ok(view)
    }
}

#[derive(Default)]
struct Log(Vec<String>);

impl Log {
    fn add(&mut self, line: String) {
        if self.0.last() != Some(&line) {
            self.0.push(line);
        }
    }
}

impl Audience for Log {
    fn checking(&mut self, reasons: &[String]) {
        self.add(reasons.join(","));
    }

    fn soaking(&mut self, healthy_after: Duration, _: &[String]) {
        self.add(format!("healthy after {} ms", healthy_after.as_millis()));
    }
}

/// The outcome, what the audience heard, and how long it took in milliseconds.
fn watch(
    soak_milliseconds: u64,
    timeout_milliseconds: u64,
    is_healthy: impl Fn(u64) -> bool,
) -> (Outcome, Vec<String>, u64) {
    let mut clock = FakeClock(Rc::new(Cell::new(START_MILLISECONDS)));
    let mut machine = FakeMachine {
        clock: clock.clone(),
        is_healthy,
    };
    let limits = Limits {
        soak: Duration::from_millis(soak_milliseconds),
        timeout: Duration::from_millis(timeout_milliseconds),
    };
    let mut log = Log::default();
    let outcome = run(limits, &mut clock, &mut machine, &mut log);
    (outcome, log.0, clock.0.get() - START_MILLISECONDS)
}

fn healthy_after(milliseconds: u64) -> Outcome {
    Outcome::Healthy {
        healthy_after: Duration::from_millis(START_MILLISECONDS + milliseconds),
        notes: Vec::new(),
    }
}

fn unhealthy_after(milliseconds: u64) -> Outcome {
    Outcome::Unhealthy {
        unhealthy_after: Duration::from_millis(START_MILLISECONDS + milliseconds),
        reasons: vec!["a.service has failed".to_owned()],
    }
}

#[test]
fn without_a_soak_the_first_look_decides() {
    let (outcome, log, took) = watch(0, 0, |_| true);
    assert_eq!(outcome, healthy_after(0));
    assert_eq!((log, took), (vec!["healthy after 4000 ms".to_owned()], 0));
}

#[test]
fn the_soak_begins_when_the_machine_is_healthy() {
    let (outcome, log, took) = watch(1_750, 60_000, |now| now >= 1_200);
    assert_eq!(outcome, healthy_after(1_200));
    assert_eq!(log, ["a.service has failed", "healthy after 5200 ms"]);
    assert_eq!(took, 1_200 + 1_750);
}

#[test]
fn a_relapse_begins_the_soak_anew() {
    let (outcome, log, _) = watch(3_000, 60_000, |now| !(1_000..2_000).contains(&now));
    assert_eq!(outcome, healthy_after(2_000));
    assert_eq!(
        log,
        [
            "healthy after 4000 ms",
            "a.service has failed",
            "healthy after 6000 ms"
        ]
    );
}

#[test]
fn the_deadline_ends_the_waiting() {
    let (outcome, _, took) = watch(0, 10_250, |_| false);
    assert_eq!(outcome, unhealthy_after(10_250));
    assert_eq!(took, 10_250);
}

#[test]
fn a_soak_may_outlast_the_deadline_but_a_relapse_then_is_the_end() {
    let (outcome, ..) = watch(30_000, 10_000, |now| now >= 9_000);
    assert_eq!(outcome, healthy_after(9_000));
    let (outcome, ..) = watch(30_000, 10_000, |now| (9_000..20_000).contains(&now));
    assert_eq!(outcome, unhealthy_after(20_000));
}

#[test]
fn a_machine_that_cannot_be_asked_is_waited_for() {
    struct Mute;
    impl ViewSource for Mute {
        fn view(&mut self) -> Result<HealthView, Box<dyn Error>> {
            Err(io::Error::other("no answer").into())
        }
    }
    let mut clock = FakeClock(Rc::new(Cell::new(0)));
    let limits = Limits {
        soak: Duration::ZERO,
        timeout: Duration::from_secs(1),
    };
    let outcome = run(limits, &mut clock, &mut Mute, &mut Log::default());
    let reasons = vec!["no answer".to_owned()];
    let unhealthy_after = Duration::from_secs(1);
    assert_eq!(
        outcome,
        Outcome::Unhealthy {
            unhealthy_after,
            reasons
        }
    );
}
