//! One boot as numbers: when each stage ended, and what the idle machine uses.
//!
//! Pure: the question is a shell script for the guest, and the answer a text from it. Both
//! systems are asked the same. The stages need no knowledge of either: neither initramfs runs
//! systemd, so systemd's user space begins with process 1 of the real root in both.

use anyhow::{Context as _, bail};

/// What the guest is asked once it is idle. Memory comes first, before the question costs any.
pub(crate) const QUESTION: &str = r"
grep -E '^Mem(Total|Available):' /proc/meminfo
echo processes:$(cat /proc/[0-9]*/status 2>/dev/null | grep -c ^VmRSS)
echo units:$(systemctl list-units --state=active --plain --no-legend | wc -l)
dmesg | sed -n 's/^\[ *\([0-9.]*\)\] Run \/init as init process.*/init:\1/p'
echo userspace:$(systemctl show --value -p UserspaceTimestampMonotonic)
echo multi-user:$(systemctl show --value -p ActiveEnterTimestampMonotonic multi-user.target)
read -r up idle < /proc/uptime
printf '\nbench-clock:%s\n' $up > /dev/ttyS0
echo clock:$up
";

/// What the console shows when the guest has told its clock; the clock's value follows. It begins a
/// line of its own, as a line's time is that of its first byte, and a login prompt has no end.
pub(crate) const CLOCK_MARK: &str = "bench-clock:";

/// When the stages of a boot ended, in seconds on the kernel's clock unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BootStages {
    /// When the kernel's clock began, in seconds since the machine was started: firmware and loader.
    pub(crate) kernel_start: f64,
    /// When the kernel ran the initramfs's `/init`.
    pub(crate) init: f64,
    /// When process 1 was systemd.
    pub(crate) userspace: f64,
    /// When `multi-user.target` was reached.
    pub(crate) multi_user: f64,
    /// What the idle machine uses.
    pub(crate) idle: Idle,
}

/// What an idle machine uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Idle {
    /// Memory that is not available, in megabytes.
    pub(crate) memory_megabytes: f64,
    /// Active units of systemd.
    pub(crate) units: f64,
    /// Processes with memory of their own, so without the kernel's threads.
    pub(crate) processes: f64,
}

impl BootStages {
    /// Reads the answer to [`QUESTION`]; `clock_seen` is when the host saw [`CLOCK_MARK`], in
    /// seconds since the machine was started.
    pub(crate) fn parse(answer: &str, clock_seen: f64) -> anyhow::Result<Self> {
        let number = |name: &str| number(answer, name);
        let microseconds = |name: &str| Ok::<_, anyhow::Error>(number(name)? / 1e6);
        let used_kibibytes = number("MemTotal")? - number("MemAvailable")?;
        let stages = Self {
            kernel_start: clock_seen - number("clock")?,
            init: number("init")?,
            userspace: microseconds("userspace")?,
            multi_user: microseconds("multi-user")?,
            idle: Idle {
                memory_megabytes: used_kibibytes * 1024.0 / 1e6,
                units: number("units")?,
                processes: number("processes")?,
            },
        };
        if stages.multi_user <= stages.userspace {
            bail!("the guest has not reached multi-user.target:\n{answer}");
        }
        Ok(stages)
    }

    /// From the kernel's start to systemd.
    pub(crate) fn initramfs(&self) -> f64 {
        self.userspace - self.init
    }

    /// From systemd to `multi-user.target`.
    pub(crate) fn services(&self) -> f64 {
        self.multi_user - self.userspace
    }

    /// From the machine's start to `multi-user.target`.
    pub(crate) fn total(&self) -> f64 {
        self.kernel_start + self.multi_user
    }
}

fn number(answer: &str, name: &str) -> anyhow::Result<f64> {
    let value = answer
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("the guest did not tell {name}:\n{answer}"))?;
    // Memory comes with its unit, kB.
    let value = value.split_whitespace().next().unwrap_or_default();
    value
        .parse()
        .with_context(|| format!("the guest told {name} as {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "MemTotal:  1000000 kB\nMemAvailable:  750000 kB\nprocesses:14\nunits:99\n\
        init:1.250000\nuserspace:2500000\nmulti-user:9500000\nclock:30.00\n";

    #[test]
    fn stages_follow_one_another() {
        let stages = BootStages::parse(ANSWER, 33.0).unwrap();
        assert_eq!((stages.kernel_start, stages.init), (3.0, 1.25));
        assert_eq!((stages.initramfs(), stages.services()), (1.25, 7.0));
        assert!((stages.total() - 12.5).abs() < 1e-9);
        assert!((stages.idle.memory_megabytes - 256.0).abs() < 1e-9);
        assert_eq!((stages.idle.units, stages.idle.processes), (99.0, 14.0));
    }

    #[test]
    fn an_unfinished_boot_is_an_error() {
        let answer = ANSWER.replace("multi-user:9500000", "multi-user:0");
        let error = BootStages::parse(&answer, 33.0).unwrap_err().to_string();
        assert!(error.contains("has not reached"), "{error}");
    }

    #[test]
    fn missing_and_senseless_answers_are_named() {
        for (from, to) in [("units:99", ""), ("units:99", "units:many")] {
            let error = BootStages::parse(&ANSWER.replace(from, to), 33.0).unwrap_err();
            assert!(error.to_string().contains("units"), "{error}");
        }
    }
}
