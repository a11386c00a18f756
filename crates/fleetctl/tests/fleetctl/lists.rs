//! fleetctl's lists: columns, order, JSON, pages.

use crate::fake::{Fake, MACHINE, OTHER};
use serde_json::{Value, json};

fn fill(fake: &Fake) {
    let options = json!([{"section": "Unit", "name": "Description", "value": "A"}]);
    fake.unit(json!({
        "name": "a.service", "options": options, "desiredState": "launched",
        "currentState": "launched", "machineID": MACHINE,
    }));
    fake.unit(json!({"name": "b.service", "desiredState": "loaded", "currentState": "inactive", "options": [
        {"section": "X-Fleet", "name": "MachineID", "value": "x"}]}));
    fake.unit(
        json!({"name": "c.service", "desiredState": "launched", "options": [
        {"section": "X-Fleet", "name": "Global", "value": "yes"}]}),
    );
    let state = |name: &str, machine: &str| {
        json!({
            "name": name, "machineID": machine, "hash": "0123456789",
            "systemdLoadState": "loaded", "systemdActiveState": "active", "systemdSubState": "running",
        })
    };
    let states = json!({"states": [
        state("c.service", OTHER), state("c.service", MACHINE), state("a.service", MACHINE),
    ]});
    fake.answer("GET /fleet/v1/state", 200, &states);
}

#[test]
fn units_are_sorted_by_name_and_machine() {
    let fake = Fake::start();
    fill(&fake);
    assert_eq!(
        fake.ok(&["list-units"]),
        "UNIT\t\tMACHINE\t\t\t\tACTIVE\tSUB\n\
         a.service\t113f16a7.../172.17.8.103\tactive\trunning\n\
         c.service\t113f16a7.../172.17.8.103\tactive\trunning\n\
         c.service\t2a8f16a7...\t\t\tactive\trunning\n"
    );
    let words = [
        "list-units",
        "--no-legend",
        "--full",
        "--fields=unit,machine,load,hash",
    ];
    let first = fake.ok(&words);
    let line = format!("a.service\t{MACHINE}/172.17.8.103\tloaded\t0123456789");
    assert_eq!(first.lines().next(), Some(line.as_str()));
    let words = ["list-units", "--no-legend", "--fields", "hash"];
    assert_eq!(fake.ok(&words).lines().next(), Some("0123456"));
}

#[test]
fn unit_files_have_fleets_columns() {
    let fake = Fake::start();
    fill(&fake);
    let words = [
        "list-unit-files",
        "--fields",
        "unit,dstate,state,target,global,desc",
    ];
    assert_eq!(
        fake.ok(&words),
        "UNIT\t\tDSTATE\t\tSTATE\t\tTARGET\t\t\t\tGLOBAL\tDESC\n\
         a.service\tlaunched\tlaunched\t113f16a7.../172.17.8.103\tfalse\tA\n\
         b.service\tloaded\t\tinactive\t-\t\t\t\tfalse\t-\n\
         c.service\tlaunched\t-\t\tglobal\t\t\t\ttrue\t-\n"
    );
    let usual = fake.ok(&["list-unit-files"]);
    assert!(
        usual.starts_with("UNIT\t\tHASH\tDSTATE\t\tSTATE\t\tTARGET\n"),
        "{usual}"
    );
    let error = fake.fails(&["list-unit-files", "--fields=unit,nothing"], 1);
    assert!(
        error.starts_with("Invalid key in output format: \"nothing\""),
        "{error}"
    );
    assert_eq!(
        fake.fails(&["list-unit-files", "--fields="], 1),
        "Must define output format\n"
    );
}

#[test]
fn machines_have_fleets_columns() {
    let fake = Fake::start();
    assert_eq!(
        fake.ok(&["list-machines"]),
        "MACHINE\t\tIP\t\tMETADATA\n\
         113f16a7...\t172.17.8.103\tdisk=ssd,region=us\n\
         2a8f16a7...\t-\t\t-\n"
    );
    let words = [
        "list-machines",
        "-l",
        "--no-legend",
        "--fields=machine,availability",
    ];
    assert_eq!(fake.ok(&words), format!("{MACHINE}\topen\n{OTHER}\topen\n"));
}

#[test]
fn every_list_is_json_too() {
    let fake = Fake::start();
    fill(&fake);
    let list = |words: &[&str]| -> Value {
        serde_json::from_str(&fake.ok(words)).expect("one JSON value")
    };
    assert_eq!(list(&["list-units", "--json"])[0]["name"], "a.service");
    assert_eq!(list(&["list-unit-files", "--json"])[2]["name"], "c.service");
    assert_eq!(list(&["--json", "list-machines"])[0]["id"], MACHINE);
}

#[test]
fn all_pages_are_read() {
    let fake = Fake::start();
    let page = |name: &str, token: &str| json!({"units": [{"name": name}], "nextPageToken": token});
    fake.answer("GET /fleet/v1/units", 200, &page("b.service", "ZAACAA=="));
    fake.answer(
        "GET /fleet/v1/units?nextPageToken=ZAACAA%3D%3D",
        200,
        &page("a.service", ""),
    );
    let words = ["list-unit-files", "--no-legend", "--fields=unit"];
    assert_eq!(fake.ok(&words), "a.service\nb.service\n");
    assert_eq!(
        fake.read(),
        [
            "/fleet/v1/units",
            "/fleet/v1/units?nextPageToken=ZAACAA%3D%3D"
        ]
    );
}

#[test]
fn the_environment_is_as_good_as_flags() {
    let fake = Fake::start();
    let endpoint = fake.endpoint();
    let output = fake
        .command()
        .env("FLEETCTL_ENDPOINT", "unix:///nonexistent")
        .args(["--endpoint", &endpoint, "list-machines", "--no-legend"])
        .output()
        .expect("fleetctl runs");
    assert!(output.status.success(), "a flag counts more: {output:?}");
    let output = fake
        .command()
        .env("FLEETCTL_SSH_USERNAME", "")
        .env("FLEETCTL_STRICT_HOST_KEY_CHECKING", "false")
        .arg("list-machines")
        .output()
        .expect("fleetctl runs");
    assert!(output.status.success(), "an empty one is none: {output:?}");
}
