//! What a change rebuilds, and what `--explain` says of it.

use serde_json::{Value, json};
use std::fs::File;
use std::time::SystemTime;

use crate::fixture::{Cache, Checkout, assert_says};

/// The steps that follow from the composed root.
const AFTER_COMPOSE: [&str; 6] = ["commit", "erofs", "verity", "uki", "disk", "output"];

fn explain(cache: &Cache, checkout: &Checkout) -> Value {
    let run = cache.build_of(checkout);
    let outcome = run.argument("--explain").argument("--json").succeed();
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

fn assert_up_to_date(explained: &Value) {
    let steps = explained.as_object().expect("an object");
    assert!(steps.contains_key("disk"), "{explained}");
    assert!(steps.values().all(Value::is_null), "{explained}");
}

#[test]
fn an_unchanged_checkout_rebuilds_nothing_whatever_its_time_stamps_say() {
    let (cache, checkout) = (Cache::warm(), Checkout::new());
    let file = File::open(checkout.path().join("image/files/etc/issue")).expect("there");
    file.set_modified(SystemTime::now()).expect("touched");
    assert_up_to_date(&explain(&cache, &checkout));
    let first = cache.build_of(&checkout).succeed();
    assert_eq!(first.steps_run(), ["output"], "only a new copy of the disk");
    assert!(cache.build_of(&checkout).succeed().steps_run().is_empty());
}

/// Changes a file, and checks that just what follows from it is explained and run.
fn change_one_file(path: &str, text: &str) {
    let (cache, checkout) = (Cache::warm(), Checkout::new());
    checkout.append(path, text);
    let explained = explain(&cache, &checkout);
    assert_eq!(explained["compose"], json!([format!("{path} changed")]));
    assert_eq!(explained["commit"], json!(["step compose changed"]));
    assert_eq!(explained["erofs"], json!(["step compose changed"]));
    assert_eq!(explained["verity"], json!(["step erofs changed"]));
    assert_eq!(explained["uki"], json!(["step verity changed"]));
    for step in ["fetch", "tools", "unpack", "initramfs"] {
        assert_eq!(explained[step], Value::Null, "{step}");
    }
    let text = cache.build_of(&checkout).argument("--explain").succeed();
    assert_says(&text.stderr, &[&format!("rebuild: {path} changed\n")]);

    let outcome = cache.build_of(&checkout).succeed();
    let mut ran = outcome.steps_run();
    let mut expected = vec!["compose"];
    expected.extend(AFTER_COMPOSE);
    ran.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ran, expected, "{}", outcome.stderr);
    assert_up_to_date(&explain(&cache, &checkout));
    assert!(cache.build_of(&checkout).succeed().steps_run().is_empty());
}

#[test]
fn a_laid_over_file_rebuilds_what_follows_from_the_root() {
    change_one_file("image/files/etc/issue", "changed\n");
}

#[test]
fn a_unit_file_rebuilds_what_follows_from_the_root() {
    change_one_file("units/usr/lib/sysctl.d/50-keelson.conf", "# changed\n");
}

#[test]
fn a_new_kernel_command_line_names_itself() {
    let (cache, checkout) = (Cache::warm(), Checkout::new());
    checkout.replace("image/os.toml", "\"panic=10\"", "\"panic=11\"");
    let explained = explain(&cache, &checkout);
    assert_eq!(explained["unpack"], Value::Null);
    assert_eq!(explained["compose"], json!(["image/os.toml changed"]));
    let uki = explained["uki"].to_string();
    assert_says(&uki, &["the command line changed"]);
}
