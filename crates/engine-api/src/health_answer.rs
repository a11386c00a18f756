//! Health of containers as lists and inspections show it.

use monitor_protocol::Timestamp;
use monitor_protocol::health::{Health, HealthStatus};
use serde_json::{Value, json};

use crate::human;
use crate::record::Record;

/// Whether a container's health is checked.
pub fn is_checked(record: &Record) -> bool {
    has_check(&record.config["Healthcheck"])
}

/// Whether a `Healthcheck` says what is run.
pub fn has_check(check: &Value) -> bool {
    let first = check["Test"].as_array().and_then(|test| test.first());
    let first = first.and_then(Value::as_str);
    first.is_some_and(|first| !matches!(first, "" | "NONE"))
}

/// What a container checks, of what it was made with and of what its image says: each field by itself, as with
/// Docker.
pub fn merged(given: &Value, image: &Value) -> Value {
    let mut all = given.as_object().cloned().unwrap_or_default();
    for (name, value) in image.as_object().into_iter().flatten() {
        let is_given = all.get(name).is_some_and(|own| {
            !(own.is_null() || *own == 0 || own.as_array().is_some_and(Vec::is_empty))
        });
        if !is_given {
            all.insert(name.clone(), value.clone());
        }
    }
    if all.is_empty() {
        Value::Null
    } else {
        Value::Object(all)
    }
}

/// Docker's word for the filter `health`.
pub fn word(health: Option<&Health>) -> &'static str {
    health.map_or("none", |health| health.status.as_str())
}

/// What stands behind `Up 2 minutes`.
pub fn remark(health: &Health) -> &'static str {
    match health.status {
        HealthStatus::Starting => " (health: starting)",
        HealthStatus::Healthy => " (healthy)",
        HealthStatus::Unhealthy => " (unhealthy)",
    }
}

/// `State.Health` of whoever inspects.
pub fn inspect(health: &Health) -> Value {
    let time = |time: Timestamp| human::timestamp(time.0.saturating_mul(1000)).to_string();
    let log = health.log.iter().map(|probe| {
        json!({
            "Start": time(probe.started_at),
            "End": time(probe.ended_at),
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    });
    json!({
        "Status": health.status.as_str(),
        "FailingStreak": health.failing_streak,
        "Log": log.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use monitor_protocol::health::Probe;

    use super::*;

    #[test]
    fn checks_of_both_are_one() {
        let image = json!({"Test": ["CMD", "probe"], "Interval": 5, "Retries": 2});
        let given = json!({"Test": null, "Interval": 9, "Timeout": 0});
        let all = merged(&given, &image);
        let expected = json!({"Test": ["CMD", "probe"], "Interval": 9, "Timeout": 0, "Retries": 2});
        assert_eq!(all, expected);
        assert!(has_check(&all));
        let off = merged(&json!({"Test": ["NONE"]}), &image);
        assert!(!has_check(&off));
        assert_eq!(merged(&Value::Null, &Value::Null), Value::Null);
    }

    #[test]
    fn health_is_told_in_dockers_words() {
        let mut health = Health::default();
        assert_eq!(remark(&health), " (health: starting)");
        health.status = HealthStatus::Unhealthy;
        health.failing_streak = 4;
        health.log.push(Probe {
            started_at: Timestamp(1_800_000_000_000_000),
            ended_at: Timestamp(1_800_000_000_500_000),
            exit_code: 1,
            output: "no".to_owned(),
        });
        let expected = json!({
            "Status": "unhealthy", "FailingStreak": 4,
            "Log": [{
                "Start": "2027-01-15T08:00:00Z", "End": "2027-01-15T08:00:00.5Z",
                "ExitCode": 1, "Output": "no",
            }],
        });
        assert_eq!(inspect(&health), expected);
        assert_eq!((word(Some(&health)), word(None)), ("unhealthy", "none"));
    }
}
