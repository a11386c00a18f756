//! Units: what PUT, GET and DELETE answer, as fleet's `api/units_test.go` and documentation have it.

use super::*;

#[tokio::test]
async fn a_unit_is_created_started_and_destroyed() {
    let fixture = Fixture::new();
    let unit = json!({"name": "a.service", "options": hello(), "desiredState": "inactive"});
    assert_eq!(fixture.put_unit("a.service", &unit).await, 201);
    assert_eq!(fixture.put_unit("a.service", &unit).await, 204);
    let start = json!({"desiredState": "launched"});
    assert_eq!(fixture.put_unit("a.service", &start).await, 204);
    let (status, body) = fixture.get("/fleet/v1/units/a.service").await;
    let expected = json!({
        "name": "a.service", "options": hello(),
        "currentState": "inactive", "desiredState": "launched",
    });
    assert_eq!((status, body), (200, expected));
    let gone = fixture
        .ask("DELETE", "/fleet/v1/units/a.service", &Json::Null)
        .await;
    assert_eq!(gone, (204, json!("")));
    assert_eq!(fixture.get("/fleet/v1/units/a.service").await.0, 404);
}

/// A body, and the status and words of its refusal.
type Bad = (&'static str, Json, u16, &'static str);

fn bad_units() -> Vec<Bad> {
    let hello = |more: Json| {
        let mut unit = json!({"options": hello()});
        for (key, value) in more.as_object().expect("an object") {
            unit[key] = value.clone();
        }
        unit
    };
    let drop_in = json!([{"name": "../a.conf", "options": []}]);
    vec![
        (
            "a.service",
            json!({"desiredState": "launched"}),
            409,
            "options field empty",
        ),
        (
            "a.service",
            hello(json!({"name": "b.service"})),
            400,
            "differs",
        ),
        ("a.nonsense", hello(json!({})), 400, "type"),
        (
            "a@.service",
            hello(json!({"desiredState": "loaded"})),
            400,
            "template",
        ),
        (
            "a.service",
            hello(json!({"desiredState": "running"})),
            400,
            "invalid state",
        ),
        (
            "a.service",
            hello(json!({"dropIns": drop_in})),
            400,
            "drop-in",
        ),
        (
            "a.service",
            json!({"dropIns": [{"name": "a.conf"}]}),
            400,
            "drop-ins",
        ),
    ]
}

/// Options in `[X-Fleet]`, and the words of their refusal.
fn bad_options() -> Vec<Bad> {
    let unit = |pairs: &[(&str, &str)]| {
        let option = |(name, value): &(&str, &str)| json!({"section": "X-Fleet", "name": name, "value": value});
        json!({"options": pairs.iter().map(option).collect::<Vec<Json>>()})
    };
    let long = "x".repeat(600 << 10);
    let contradiction = [("MachineID", "a"), ("Global", "true")];
    let excluded = [("MachineOf", "b.service"), ("Conflicts", "b*")];
    let too_long = json!({"options": [{"section": "Service", "name": "ExecStart", "value": long}]});
    vec![
        (
            "a.service",
            unit(&[("Globl", "yes")]),
            400,
            "line 2: unrecognized key `Globl`",
        ),
        (
            "a.service",
            unit(&contradiction),
            400,
            "cannot be used with",
        ),
        (
            "a.service",
            unit(&excluded),
            400,
            "unresolvable requirements",
        ),
        ("a.service", too_long, 400, "bytes"),
    ]
}

#[tokio::test]
async fn bad_units_are_refused_and_nothing_is_stored() {
    let fixture = Fixture::new();
    for (name, body, expected, words) in bad_units().into_iter().chain(bad_options()) {
        let path = format!("/fleet/v1/units/{name}");
        let (status, answer) = fixture.ask("PUT", &path, &body).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, expected, "{name}: {answer}");
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(fixture.store.look(&fixture.layout.everything()), Vec::new());
}

#[tokio::test]
async fn only_json_is_taken() {
    let fixture = Fixture::new();
    let body = json!({"options": hello()});
    for (content_type, expected) in [
        ("application/json; charset=utf-8", 201),
        ("text/plain", 415),
        ("application/jsonx", 415),
    ] {
        let mut asked = request("PUT", "/fleet/v1/units/a.service", &body);
        let value = hyper::header::HeaderValue::from_static(content_type);
        asked.headers_mut().insert("Content-Type", value);
        let (status, _) = fixture.ask_as(&Caller::Local, asked).await;
        assert_eq!(status, expected, "{content_type}");
    }
    let bad = Request::builder()
        .method("PUT")
        .uri("/fleet/v1/units/a.service");
    let bad = bad
        .header("Content-Type", "application/json")
        .body(Full::new("{".into()));
    assert_eq!(
        fixture
            .ask_as(&Caller::Local, bad.expect("a request"))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn other_options_replace_a_unit() {
    let fixture = Fixture::new();
    let unit = json!({"options": hello(), "desiredState": "launched"});
    assert_eq!(fixture.put_unit("a.service", &unit).await, 201);
    let other = json!({
        "options": [{"section": "Service", "name": "ExecStart", "value": "/bin/true"}],
        "dropIns": [{"name": "10-user.conf", "options": [{"section": "Service", "name": "User", "value": "nobody"}]}],
        "desiredState": "launched",
    });
    assert_eq!(fixture.put_unit("a.service", &other).await, 201);
    let (_, body) = fixture.get("/fleet/v1/units/a.service").await;
    assert_eq!(body["options"], other["options"]);
    assert_eq!(body["dropIns"], other["dropIns"]);
    let bad = json!({"options": [{"section": "X-Fleet", "name": "Nope", "value": ""}], "desiredState": "launched"});
    assert_eq!(fixture.put_unit("a.service", &bad).await, 400);
    let without_state = json!({"options": hello()});
    assert_eq!(fixture.put_unit("a.service", &without_state).await, 409);
}

#[tokio::test]
async fn a_unit_that_runs_says_where_and_with_which_hash() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[]);
    let unit = json!({"options": hello(), "desiredState": "launched"});
    fixture.put_unit("a@1.service", &unit).await;
    let unit: fleet_api::Unit =
        serde_json::from_value(json!({"options": hello()})).expect("a unit");
    let hash = unit.hash().expect("a hash");
    fixture.run("a@1.service", HERE, &hash);
    let is_launched = |body: &Json| body["currentState"] == "launched";
    let body = fixture
        .until("/fleet/v1/units/a%401.service", is_launched)
        .await;
    assert_eq!(body["machineID"], HERE);
    let state = json!({
        "name": "a@1.service", "machineID": HERE, "hash": hash,
        "systemdLoadState": "loaded", "systemdActiveState": "active", "systemdSubState": "running",
        "systemdInvocationID": "0f",
    });
    assert_eq!(
        fixture.get("/fleet/v1/state/a@1.service").await,
        (200, state.clone())
    );
    let elsewhere = format!("?machineID={THERE}");
    for (query, expected) in [
        ("", json!({"states": [state]})),
        ("?unitName=a%401.service", json!({"states": [state]})),
        ("?unitName=b.service", json!({})),
        (elsewhere.as_str(), json!({})),
    ] {
        let (_, body) = fixture.get(&format!("/fleet/v1/state{query}")).await;
        assert_eq!(body, expected, "{query}");
    }
}

#[tokio::test]
async fn a_global_unit_has_no_state_of_its_own() {
    let fixture = Fixture::new();
    let options = json!([{"section": "X-Fleet", "name": "Global", "value": "true"}]);
    let unit = json!({"options": options, "desiredState": "launched"});
    fixture.put_unit("a.service", &unit).await;
    let (_, body) = fixture.get("/fleet/v1/units/a.service").await;
    assert_eq!(body["currentState"], Json::Null);
    let (_, body) = fixture.get("/fleet/v1/units").await;
    assert_eq!(body["units"][0]["currentState"], "inactive");
    let (status, _) = fixture
        .ask("POST", "/fleet/v1/units/a.service/move", &json!({}))
        .await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn a_global_unit_is_rolled_out_over_machines() {
    let fixture = Fixture::new();
    let put = async |command: &str, more: Json| {
        let mut unit = json!({"desiredState": "launched", "options": [
            {"section": "Service", "name": "ExecStart", "value": command},
            {"section": "X-Fleet", "name": "Global", "value": "true"}]});
        for (key, value) in more.as_object().expect("an object") {
            unit[key] = value.clone();
        }
        fixture.put_unit("a.service", &unit).await
    };
    let on = |machines: Json| json!({"rollout": {"machines": machines}});
    let record = || -> Json {
        let record = fixture.store.look(&fixture.layout.units());
        serde_json::from_slice(&record[0].value).expect("JSON")
    };
    assert_eq!(
        put("/bin/a", on(json!([HERE]))).await,
        409,
        "there is nothing yet"
    );
    assert_eq!(put("/bin/a", json!({})).await, 201);
    let first = record()["hash"].clone();
    assert_eq!(put("/bin/b", on(json!([HERE]))).await, 201);
    let second = record()["hash"].clone();
    let rollout = json!({"from": first, "machines": [HERE]});
    assert_eq!(record()["rollout"], rollout);
    let (_, unit) = fixture.get("/fleet/v1/units/a.service").await;
    assert_eq!(unit["rollout"], json!({"machines": [HERE]}));
    let start = json!({"desiredState": "loaded"});
    assert_eq!(fixture.put_unit("a.service", &start).await, 204);
    assert_eq!(
        record()["rollout"],
        rollout,
        "of what is wanted it says nothing"
    );
    assert_eq!(put("/bin/b", on(json!([HERE, THERE]))).await, 204);
    assert_eq!(record()["rollout"]["machines"], json!([HERE, THERE]));
    assert_eq!(put("/bin/a", on(json!([HERE]))).await, 201);
    assert_eq!(record()["rollout"], Json::Null, "everywhere it was before");
    assert_eq!(put("/bin/b", json!({})).await, 201);
    assert_eq!(
        (&record()["hash"], &record()["rollout"]),
        (&second, &Json::Null)
    );
}

#[tokio::test]
async fn only_a_global_unit_is_rolled_out() {
    let fixture = Fixture::new();
    let unit = json!({"options": hello(), "desiredState": "launched"});
    assert_eq!(fixture.put_unit("a.service", &unit).await, 201);
    let mut rolled = unit.clone();
    rolled["rollout"] = json!({"machines": [HERE]});
    assert_eq!(fixture.put_unit("a.service", &rolled).await, 400);
    let without = json!({"desiredState": "launched", "rollout": {"machines": []}});
    assert_eq!(fixture.put_unit("a.service", &without).await, 400);
    let options = json!([{"section": "X-Fleet", "name": "Global", "value": "true"}]);
    rolled["options"] = options;
    assert_eq!(
        fixture.put_unit("a.service", &rolled).await,
        409,
        "it was not global"
    );
}

#[tokio::test]
async fn lists_have_pages() {
    let fixture = Fixture::new();
    for number in 0..205 {
        let name = format!("a{number:03}.service");
        let unit = json!({"options": hello(), "desiredState": "inactive"});
        assert_eq!(fixture.put_unit(&name, &unit).await, 201);
    }
    let mut names: Vec<String> = Vec::new();
    let mut path = "/fleet/v1/units".to_owned();
    loop {
        let (_, body) = fixture.get(&path).await;
        let units = body["units"].as_array().expect("a page");
        names.extend(units.iter().map(|unit| unit["name"].to_string()));
        let Some(token) = body["nextPageToken"].as_str() else {
            break;
        };
        path = format!("/fleet/v1/units?nextPageToken={token}");
    }
    assert_eq!(names.len(), 205);
    assert!(names.is_sorted());
}

#[tokio::test]
async fn explanations_name_each_machine() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[("disk", "ssd")]);
    fixture.machine(THERE, &[("disk", "tape")]);
    let options = json!([{"section": "X-Fleet", "name": "MachineMetadata", "value": "disk=ssd"}]);
    let unit = json!({"name": "a.service", "options": options, "desiredState": "launched"});
    let (status, unstored) = fixture.ask("POST", "/fleet/v1/explain", &unit).await;
    assert_eq!(status, 200, "{unstored}");
    assert_eq!(
        fixture.get("/fleet/v1/units/a.service/explain").await.0,
        404
    );
    fixture.put_unit("a.service", &unit).await;
    let (_, stored) = fixture.get("/fleet/v1/units/a.service/explain").await;
    assert_eq!(stored, unstored);
    let machines = stored["machines"].as_array().expect("machines");
    assert_eq!(machines[0]["refusals"], json!([]));
    assert_eq!(machines[1]["refusals"][0]["reason"], "metadata");
}

#[tokio::test]
async fn what_hinders_a_machine_is_told_everywhere() {
    let fixture = Fixture::new();
    fixture.machine(THERE, &[]);
    let unit = json!({"options": hello(), "desiredState": "launched"});
    fixture.put_unit("a.service", &unit).await;
    fixture.run("a.service", THERE, "x");
    fixture.hinder("a.service", THERE, "no room");
    let is_told = |body: &Json| body["problem"] == "no room";
    fixture.until("/fleet/v1/state/a.service", is_told).await;
    let (_, unit) = fixture.get("/fleet/v1/units/a.service").await;
    assert_eq!(unit["currentState"], "inactive");
    let (_, explained) = fixture.get("/fleet/v1/units/a.service/explain").await;
    let verdict = json!({"machineID": THERE, "placed": true, "problem": "no room", "refusals": []});
    assert_eq!(explained["machines"], json!([verdict]));
    let (_, status) = fixture.get("/fleet/v1/units/a.service/status").await;
    assert_eq!(status["statuses"][0]["problem"], "no room");
}

#[tokio::test]
async fn a_unit_moves_only_where_it_can() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[]);
    let unit = json!({"options": hello(), "desiredState": "launched"});
    fixture.put_unit("a.service", &unit).await;
    let path = "/fleet/v1/units/a.service/move";
    assert_eq!(
        fixture.ask("POST", path, &json!({})).await.0,
        409,
        "it is on no machine"
    );
    fixture.run("a.service", HERE, "x");
    let is_placed = |body: &Json| body["machineID"] == HERE;
    fixture.until("/fleet/v1/units/a.service", is_placed).await;
    let (status, body) = fixture.ask("POST", path, &json!({})).await;
    let message = body["error"]["message"].as_str().expect("a message");
    assert_eq!(status, 409);
    assert!(message.contains("no other machine"), "{message}");
    fixture.machine(THERE, &[]);
    let is_there = |body: &Json| {
        body["machines"]
            .as_array()
            .is_some_and(|list| list.len() == 2)
    };
    fixture.until("/fleet/v1/machines", is_there).await;
    assert_eq!(
        fixture
            .ask("POST", path, &json!({"machineID": HERE}))
            .await
            .0,
        409
    );
    assert_eq!(
        fixture
            .ask("POST", path, &json!({"machineID": THERE}))
            .await
            .0,
        204
    );
    let missing = "/fleet/v1/units/b.service/move";
    assert_eq!(fixture.ask("POST", missing, &json!({})).await.0, 404);
    let record = fixture.store.look(&fixture.layout.units());
    let record: Json = serde_json::from_slice(&record[0].value).expect("JSON");
    assert_eq!(record["moving"], json!({"from": HERE, "to": THERE}));
}

#[tokio::test]
async fn status_from_a_machine_that_cannot_be_asked_says_so() {
    let fixture = Fixture::new();
    fixture.machine(THERE, &[]);
    let unit = json!({"options": hello(), "desiredState": "launched"});
    fixture.put_unit("a.service", &unit).await;
    fixture.run("a.service", THERE, "x");
    let has_one = |body: &Json| {
        body["statuses"]
            .as_array()
            .is_some_and(|list| list.len() == 1)
    };
    let body = fixture
        .until("/fleet/v1/units/a.service/status", has_one)
        .await;
    assert_eq!(body["statuses"][0]["machineID"], THERE);
    assert_eq!(body["statuses"][0]["type"], "unreachable");
    let (status, body) = fixture.get("/fleet/v1/units/a.service/journal").await;
    assert_eq!(
        (status, &body["type"]),
        (200, &json!("unreachable")),
        "{body}"
    );
    assert_eq!(fixture.get("/fleet/v1/units/b.service/status").await.0, 404);
    assert_eq!(
        fixture
            .get("/fleet/v1/units/a.service/journal?lines=x")
            .await
            .0,
        400
    );
}
