//! Machines: metadata and availability, as fleet's `machines-api.md` has the former.

use super::*;

#[tokio::test]
async fn machines_that_are_alive_are_listed() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("/fleet/v1/machines").await, (200, json!({})));
    fixture.machine(HERE, &[("disk", "ssd")]);
    let has_one = |body: &Json| body["machines"].is_array();
    let body = fixture.until("/fleet/v1/machines", has_one).await;
    let expected = json!([{"id": HERE, "primaryIP": "192.0.2.1", "metadata": {"disk": "ssd"}}]);
    assert_eq!(body["machines"], expected);
    let alive = fixture.layout.alive(&MachineId::new(HERE));
    fixture.write(vec![Operation::Delete(alive)]);
    fixture
        .until("/fleet/v1/machines", |body| body["machines"].is_null())
        .await;
}

#[tokio::test]
async fn metadata_is_patched_whole_or_not_at_all() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[("disk", "ssd"), ("rack", "1")]);
    let step = |operation: &str, key: &str, value: Json| json!({"op": operation, "path": format!("/{HERE}/metadata/{key}"), "value": value});
    let good = json!([
        step("add", "region", json!("eu")),
        step("replace", "disk", json!({"value": "tape"})),
        step("remove", "rack", Json::Null),
        {"op": "add", "path": "/unknown/metadata/a", "value": "b"},
    ]);
    let path = "/fleet/v1/machines";
    assert_eq!(fixture.ask("PATCH", path, &good).await.0, 204);
    let (_, body) = fixture.get(path).await;
    let expected = json!({"disk": "tape", "region": "eu"});
    assert_eq!(body["machines"][0]["metadata"], expected);
    let bad = json!([step("add", "a", json!("b")), step("noop", "a", json!("b"))]);
    assert_eq!(fixture.ask("PATCH", path, &bad).await.0, 400);
    let (_, body) = fixture.get(path).await;
    assert_eq!(body["machines"][0]["metadata"], expected);
}

#[tokio::test]
async fn a_machine_is_cordoned_and_opened() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[]);
    let path = format!("/fleet/v1/machines/{HERE}/availability");
    let (status, _) = fixture
        .ask("PUT", &path, &json!({"availability": "cordoned"}))
        .await;
    assert_eq!(status, 204);
    let (_, body) = fixture.get("/fleet/v1/machines").await;
    assert_eq!(body["machines"][0]["availability"], "cordoned");
    let bad = json!({"availability": "gone"});
    assert_eq!(fixture.ask("PUT", &path, &bad).await.0, 400);
    let unknown = "/fleet/v1/machines/m9/availability";
    let open = json!({"availability": "open"});
    assert_eq!(fixture.ask("PUT", unknown, &open).await.0, 404);
}
