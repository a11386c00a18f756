//! `--memory`, `--memory-swap`, `--memory-reservation`, `--cpus`, `--cpu-shares`, `--cpuset-cpus` and
//! `--pids-limit`.
//!
//! They hold for the container's own control group; the unit's `MemoryMax=` and the like hold for all of
//! the unit beside them. What of cgroup v1 is left in Docker (`--kernel-memory`, `--oom-kill-disable`) is
//! not there.

use std::str::FromStr;

use crate::malformed::Malformed;

/// Docker's least.
const MEMORY_MIN: u64 = 6 * 1024 * 1024;
/// A scheduling period in microseconds; Docker's.
pub const CPU_PERIOD: u64 = 100_000;

/// What a container may use. Nothing is limited by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<MemorySize>,
    /// What is left to it when memory is short.
    pub memory_reservation: Option<MemorySize>,
    /// Memory and swap together.
    pub memory_swap: Option<MemorySwap>,
    /// Processors.
    pub cpus: Option<Cpus>,
    /// Its share when processors are short; 1024 is the default of others.
    pub cpu_shares: Option<u64>,
    /// Which processors, as `0-2,4`.
    pub cpuset_cpus: Option<CpuSet>,
    /// Processes and threads.
    pub pids: Option<PidsLimit>,
}

/// Bytes, written with or without a unit: `512m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(u64);

/// `--memory-swap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySwap {
    /// As much swap as there is.
    Unlimited,
    /// So much of memory and swap together.
    Total(MemorySize),
}

/// Processors in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(u64);

/// `--pids-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidsLimit {
    /// None; the unit's `TasksMax=` still holds.
    Unlimited,
    /// So many.
    Max(u32),
}

/// A list of processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet(String);

impl Resources {
    /// Whether anything is limited.
    pub fn is_limited(&self) -> bool {
        *self != Self::default()
    }

    /// What contradicts itself.
    pub fn check(&self) -> Result<(), Malformed> {
        let Some(MemorySwap::Total(total)) = self.memory_swap else {
            return Ok(());
        };
        let text = total.bytes().to_string();
        let refuse = |reason: &str| Err(Malformed::new("limit of memory and swap", &text, reason));
        match self.memory {
            None => refuse("it needs --memory"),
            Some(memory) if memory > total => refuse("it must not be less than --memory"),
            Some(_) => Ok(()),
        }
    }
}

impl MemorySize {
    /// The number.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for MemorySize {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("size of memory", text, reason);
        let lower = text.to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &lower[digits.len()..] {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(refuse("the unit must be b, k, m, g or t")),
        };
        let number: u64 = digits
            .parse()
            .map_err(|_| refuse("a whole number with a unit is wanted, such as 512m"))?;
        let bytes = number
            .checked_mul(1 << shift)
            .filter(|bytes| i64::try_from(*bytes).is_ok());
        let bytes = bytes.ok_or_else(|| refuse("that is more than can be counted"))?;
        if bytes < MEMORY_MIN {
            return Err(refuse("less than 6m is too little for any program"));
        }
        Ok(Self(bytes))
    }
}

impl FromStr for MemorySwap {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == "-1" {
            return Ok(Self::Unlimited);
        }
        text.parse().map(Self::Total)
    }
}

impl Cpus {
    /// Microseconds of processor time in each [`CPU_PERIOD`].
    pub fn quota(self) -> i64 {
        i64::try_from(self.0 * CPU_PERIOD / 1000).unwrap_or(i64::MAX)
    }
}

impl FromStr for Cpus {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("number of processors", text, reason);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
            return Err(refuse("a number is wanted, such as 1.5"));
        }
        if fraction.len() > 3 {
            return Err(refuse("at most three digits after the point"));
        }
        let whole: u64 = format!("0{whole}")
            .parse()
            .map_err(|_| refuse("that is too many"))?;
        let thousandths: u64 = format!("{fraction:0<3}").parse().unwrap_or(0);
        let all = whole.checked_mul(1000).map(|whole| whole + thousandths);
        match all {
            Some(all) if (10..=1_000_000_000).contains(&all) => Ok(Self(all)),
            _ => Err(refuse("it must be from 0.01 to 1000000")),
        }
    }
}

impl FromStr for PidsLimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let limit: i64 = text
            .parse()
            .map_err(|_| Malformed::new("limit of processes", text, "a number is wanted"))?;
        if limit <= 0 {
            return Ok(Self::Unlimited);
        }
        let limit = u32::try_from(limit);
        let limit =
            limit.map_err(|_| Malformed::new("limit of processes", text, "that is too many"))?;
        Ok(Self::Max(limit))
    }
}

impl CpuSet {
    /// As the kernel reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CpuSet {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let is_item = |item: &str| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(a), Ok(b)) if a <= b)
        };
        if text.split(',').all(is_item) {
            return Ok(Self(text.to_owned()));
        }
        let reason = "numbers and ranges are wanted, such as 0-2,4";
        Err(Malformed::new("list of processors", text, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_units() {
        let read = |text: &str| text.parse::<MemorySize>().map(MemorySize::bytes);
        assert_eq!(read("512m"), Ok(512 << 20));
        assert_eq!(read("1G"), Ok(1 << 30));
        assert_eq!(read("8388608"), Ok(8 << 20));
        assert_eq!(read("64MiB"), Ok(64 << 20));
        for bad in ["", "m", "1.5g", "5m", "1x", "99999999t", "-1"] {
            assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn processors_are_counted_in_thousandths() {
        let read = |text: &str| text.parse::<Cpus>().map(Cpus::quota);
        assert_eq!(read("1.5"), Ok(150_000));
        assert_eq!(read(".5"), Ok(50_000));
        assert_eq!(read("2"), Ok(200_000));
        for bad in ["", ".", "0", "0.001", "1.2345", "a", "-1", "1e3"] {
            assert!(bad.parse::<Cpus>().is_err(), "{bad}");
        }
    }

    #[test]
    fn processes_and_processor_lists() {
        assert_eq!("-1".parse(), Ok(PidsLimit::Unlimited));
        assert_eq!("100".parse(), Ok(PidsLimit::Max(100)));
        assert!("many".parse::<PidsLimit>().is_err());
        assert_eq!("0-2,4".parse::<CpuSet>().unwrap().as_str(), "0-2,4");
        for bad in ["", "a", "2-1", "1,"] {
            assert!(bad.parse::<CpuSet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn swap_is_memory_and_more() {
        let mut resources = Resources {
            memory_swap: "64m".parse().ok(),
            ..Resources::default()
        };
        assert!(resources.check().is_err());
        resources.memory = "128m".parse().ok();
        assert!(resources.check().is_err());
        resources.memory = "32m".parse().ok();
        assert_eq!(resources.check(), Ok(()));
    }
}
