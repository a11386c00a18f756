//! The stream of events: what is there first, then what changes.

use std::collections::VecDeque;

use super::*;

#[tokio::test]
async fn what_is_there_comes_first_then_what_changes() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[]);
    let unit = json!({"options": hello(), "desiredState": "launched"});
    fixture.put_unit("a.service", &unit).await;
    let asked = request("GET", "/fleet/v1/events", &Json::Null);
    let answer = fixture.api.answer(&Caller::Local, asked).await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut waiting: VecDeque<Json> = VecDeque::new();
    let mut next = async || {
        loop {
            if let Some(line) = waiting.pop_front() {
                return line;
            }
            let frame = body.frame().await.expect("no end").expect("no error");
            let data = frame.into_data().expect("data");
            let lines = data.split(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty());
            waiting.extend(lines.map(|line| serde_json::from_slice::<Json>(line).expect("JSON")));
        }
    };
    assert_eq!(next().await["machine"]["id"], HERE);
    let first = next().await;
    assert_eq!(first["unit"]["options"], hello());
    assert_eq!(next().await["type"], "synced");
    fixture.run("a.service", HERE, "x");
    let placed = next().await;
    assert_eq!(placed["unit"]["machineID"], HERE, "{placed}");
    assert_eq!(placed["unit"]["options"], Json::Null);
    let state = next().await;
    assert_eq!(state["state"]["systemdActiveState"], "active", "{state}");
    assert_eq!(next().await["unit"]["currentState"], "launched");
    fixture
        .ask("DELETE", "/fleet/v1/units/a.service", &Json::Null)
        .await;
    let gone = next().await;
    assert_eq!(
        (&gone["type"], &gone["name"]),
        (&json!("unit-gone"), &json!("a.service"))
    );
    assert!(gone["revision"].as_u64() > first["revision"].as_u64());
}
