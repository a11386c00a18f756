//! `POST update`: another restart policy, and other limits, for now and for each start after it.
//!
//! Limits hold for the container's own control group, as those of `launch run` do: a unit's `MemoryMax=` and the
//! like would hold beside them, and could not raise one.

use std::str::FromStr;

use container_model::resources::{CPU_PERIOD, MemorySwap, PidsLimit, Resources};
use serde_json::{Value, json};

use crate::ApiError;
use crate::create::Limits;
use crate::fields::Fields;
use crate::record::{Record, RestartPolicy};

/// The fields of `HostConfig` that may change.
const NUMBERS: &[&str] = &[
    "CpuShares",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "PidsLimit",
];
/// The kernel's weights for Docker's shares from 2 to 262144: from 1 to 10000.
const SHARES_MIN: u64 = 2;
const SHARES_RANGE: u64 = 262_142;
const WEIGHT_RANGE: u64 = 9999;

/// What a request makes of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// As it is from now on.
    pub record: Record,
    /// All its limits, if one of them is another.
    pub limits: Option<Resources>,
    /// Whether the restart policy was named.
    pub names_policy: bool,
}

impl Update {
    /// Reads the body.
    pub fn parse(record: &Record, body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let mut record = record.clone();
        let names_policy = policy(&mut fields, &mut record)?;
        let given = fields.rest();
        let words = Limits::read(&mut fields)?.words;
        fields.finish()?;
        for word in &words {
            replace(&mut record.launch, word);
        }
        let limits = limits(&record.launch)?;
        limits.check().map_err(|error| {
            let advice = "give Memory and MemorySwap together";
            ApiError::bad_request(format!("{error}: {advice}"))
        })?;
        if record.host_config.is_object() && !words.is_empty() {
            note(&mut record.host_config, &given);
        }
        Ok(Self {
            record,
            limits: (!words.is_empty()).then_some(limits),
            names_policy,
        })
    }
}

fn policy(fields: &mut Fields, record: &mut Record) -> Result<bool, ApiError> {
    let mut policy = fields.object("RestartPolicy")?;
    let name = policy.text("Name")?;
    let count = policy.number("MaximumRetryCount")?;
    policy.finish()?;
    let Some(name) = name else {
        return Ok(false);
    };
    record.restart = RestartPolicy::parse(&name, count).map_err(ApiError::bad_request)?;
    if record.is_removed_at_end && record.restart != RestartPolicy::No {
        return Err(ApiError::conflict(
            "a container that is removed at its end is not restarted",
        ));
    }
    Ok(true)
}

/// For whoever inspects.
fn note(host_config: &mut Value, given: &Value) {
    for name in NUMBERS {
        if let Some(number) = given[*name].as_i64().filter(|number| *number != 0) {
            host_config[*name] = json!(number);
        }
    }
    if let Some(text) = given["CpusetCpus"].as_str().filter(|text| !text.is_empty()) {
        host_config["CpusetCpus"] = json!(text);
    }
}

/// The options before the image.
fn options(launch: &[String]) -> usize {
    let is_option = |word: &&String| word.starts_with("--");
    launch.iter().take_while(is_option).count()
}

/// Puts an option where the same one is, or behind the others.
fn replace(launch: &mut Vec<String>, word: &str) {
    let flag = word.split_inclusive('=').next().unwrap_or(word);
    let end = options(launch);
    match launch[..end].iter().position(|own| own.starts_with(flag)) {
        Some(at) => word.clone_into(&mut launch[at]),
        None => launch.insert(end, word.to_owned()),
    }
}

/// The limits that a command line of `launch run` has.
fn limits(launch: &[String]) -> Result<Resources, ApiError> {
    let mut found = Resources::default();
    for word in &launch[..options(launch)] {
        let Some((flag, text)) = word.split_once('=') else {
            continue;
        };
        match flag {
            "--memory" => found.memory = Some(read(text)?),
            "--memory-reservation" => found.memory_reservation = Some(read(text)?),
            "--memory-swap" => found.memory_swap = Some(read(text)?),
            "--cpus" => found.cpus = Some(read(text)?),
            "--cpu-shares" => found.cpu_shares = Some(read(text)?),
            "--cpuset-cpus" => found.cpuset_cpus = Some(read(text)?),
            "--pids-limit" => found.pids = Some(read(text)?),
            _ => {}
        }
    }
    Ok(found)
}

fn read<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, ApiError> {
    let read = text.parse();
    read.map_err(|error| ApiError::internal(format!("the container's record: {error}")))
}

/// The files of a control group that hold limits, in the order in which they are to be written, as crun writes them.
pub fn limit_files(limits: &Resources) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    let most = "max".to_owned();
    if let Some(memory) = limits.memory {
        files.push(("memory.max", memory.bytes().to_string()));
    }
    let swap = match (limits.memory_swap, limits.memory) {
        (Some(MemorySwap::Unlimited), _) => Some(most.clone()),
        (Some(MemorySwap::Total(total)), Some(memory)) => {
            let swap = total.bytes().saturating_sub(memory.bytes());
            Some(swap.to_string())
        }
        // Docker's rule: as much swap again as memory.
        (None, Some(memory)) => Some(memory.bytes().to_string()),
        (Some(MemorySwap::Total(_)) | None, None) => None,
    };
    files.extend(swap.map(|text| ("memory.swap.max", text)));
    if let Some(memory) = limits.memory_reservation {
        files.push(("memory.low", memory.bytes().to_string()));
    }
    if let Some(cpus) = limits.cpus {
        files.push(("cpu.max", format!("{} {CPU_PERIOD}", cpus.quota())));
    }
    if let Some(shares) = limits.cpu_shares {
        let above = shares.max(SHARES_MIN) - SHARES_MIN;
        let weight = 1 + above.min(SHARES_RANGE) * WEIGHT_RANGE / SHARES_RANGE;
        files.push(("cpu.weight", weight.to_string()));
    }
    if let Some(set) = &limits.cpuset_cpus {
        files.push(("cpuset.cpus", set.as_str().to_owned()));
    }
    if let Some(pids) = limits.pids {
        let text = match pids {
            PidsLimit::Unlimited => most,
            PidsLimit::Max(count) => count.to_string(),
        };
        files.push(("pids.max", text));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(launch: &[&str]) -> Record {
        Record {
            id: "ab".repeat(32),
            name: "web".to_owned(),
            created: 0,
            image: "busybox".to_owned(),
            image_id: String::new(),
            launch: launch.iter().map(ToString::to_string).collect(),
            command: Vec::new(),
            restart: RestartPolicy::No,
            is_removed_at_end: false,
            has_terminal: false,
            has_input: false,
            stop_timeout: 10,
            stop_signal: 15,
            labels: [].into(),
            config: Value::Null,
            host_config: json!({"Memory": 67_108_864}),
            mounts: Vec::new(),
        }
    }

    fn update(record: &Record, body: &Value) -> Result<Update, ApiError> {
        Update::parse(record, body.to_string().as_bytes())
    }

    const LAUNCH: &[&str] = &["--name=x", "--memory=67108864", "busybox@x", "--memory=1"];

    #[test]
    fn limits_are_for_now_and_for_the_next_start() {
        let body = json!({
            "Memory": 134_217_728, "MemorySwap": 0, "NanoCpus": 500_000_000, "PidsLimit": 20,
            "CpuShares": 0, "Devices": null, "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
        });
        let update = update(&record(LAUNCH), &body).unwrap();
        let expected = [
            "--name=x",
            "--memory=134217728",
            "--cpus=0.5",
            "--pids-limit=20",
            "busybox@x",
            "--memory=1",
        ];
        assert_eq!(update.record.launch, expected);
        assert_eq!(update.record.host_config["Memory"], 134_217_728);
        assert_eq!(update.record.host_config["PidsLimit"], 20);
        assert!(!update.names_policy);
        let files = limit_files(&update.limits.unwrap());
        let own = |name: &'static str, text: &str| (name, text.to_owned());
        let expected = [
            own("memory.max", "134217728"),
            own("memory.swap.max", "134217728"),
            own("cpu.max", "50000 100000"),
            own("pids.max", "20"),
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn limits_go_together_with_those_that_are_there() {
        let own = record(&["--memory=67108864", "--memory-swap=100000000", "busybox@x"]);
        let error = update(&own, &json!({"Memory": 134_217_728})).unwrap_err();
        assert!(error.message.contains("MemorySwap"), "{error}");
        let both = update(
            &own,
            &json!({"Memory": 134_217_728, "MemorySwap": -1, "PidsLimit": -1, "CpuShares": 1024}),
        );
        let files = limit_files(&both.unwrap().limits.unwrap());
        let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["134217728", "max", "39", "max"]);
    }

    #[test]
    fn policies_change_alone() {
        let body = json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}});
        let update = update(&record(LAUNCH), &body).unwrap();
        assert_eq!(update.record.restart, RestartPolicy::OnFailure(3));
        assert_eq!((update.limits, update.names_policy), (None, true));
        assert_eq!(update.record.launch, LAUNCH);
        let error = super::Update::parse(&record(LAUNCH), br#"{"CpuPeriod": 5}"#).unwrap_err();
        assert!(error.message.starts_with("CpuPeriod"), "{error}");
    }
}
