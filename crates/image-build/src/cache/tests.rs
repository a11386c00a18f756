//! Tests of the step cache: reuse, explanations, interruptions, pruning.

use super::*;
use std::sync::Mutex;

fn inputs(text: &str) -> Inputs {
    Inputs::of("sample").text("the text", text)
}

fn make(cache: &Cache<'_>, text: &str) -> Finished {
    cache
        .step(&inputs(text), |directory| {
            write_bytes(&directory.join("out"), text.as_bytes())?;
            Ok(format!("made {text}"))
        })
        .expect("the step runs")
}

#[test]
fn equal_inputs_run_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let runs = Mutex::new(0);
    let report = |event: Event<'_>| {
        if let Event::Started { .. } = event {
            *runs.lock().expect("unpoisoned") += 1;
        }
    };
    let cache = Cache::open(folder.path(), Mode::Build, &report).expect("opens");
    let first = make(&cache, "a");
    let second = make(&cache, "a");
    assert_eq!(first.directory, second.directory);
    assert_eq!(read_text(&second.file("out")).expect("there"), "a");
    assert_eq!(*runs.lock().expect("unpoisoned"), 1);
    make(&cache, "b");
    assert_eq!(*runs.lock().expect("unpoisoned"), 2);
}

#[test]
fn a_failed_step_leaves_no_result_and_the_next_try_starts_clean() {
    let folder = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(folder.path(), Mode::Build, &|_| ()).expect("opens");
    let failed = cache.step(&inputs("a"), |directory| {
        write_bytes(&directory.join("half"), b"written")?;
        Err(BuildError::Root("no".to_owned()))
    });
    assert!(failed.is_err());
    let finished = make(&cache, "a");
    assert!(finished.file("out").exists());
    assert!(!finished.file("half").exists());
}

#[test]
fn explaining_names_the_changed_input_and_runs_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    make(
        &Cache::open(folder.path(), Mode::Build, &|_| ()).expect("opens"),
        "a",
    );
    let seen = Mutex::new(Vec::new());
    let report = |event: Event<'_>| {
        if let Event::Explained { reasons, .. } = event {
            seen.lock().expect("unpoisoned").push(reasons);
        }
    };
    let cache = Cache::open(folder.path(), Mode::Explain, &report).expect("opens");
    for text in ["a", "b"] {
        cache
            .step(&inputs(text), |_| panic!("explaining must not run"))
            .expect("explained");
    }
    let seen = seen.into_inner().expect("unpoisoned");
    assert_eq!(seen, [None, Some(vec!["the text changed".to_owned()])]);
}

#[test]
fn a_second_build_is_refused_while_the_first_runs() {
    let folder = tempfile::tempdir().expect("a directory");
    let first = Cache::open(folder.path(), Mode::Build, &|_| ()).expect("opens");
    let error = Cache::open(folder.path(), Mode::Build, &|_| ()).expect_err("locked");
    assert!(matches!(error, BuildError::CacheBusy(_)));
    drop(first);
    assert!(Cache::open(folder.path(), Mode::Build, &|_| ()).is_ok());
}

#[test]
fn old_results_are_pruned_but_never_the_newest() {
    let folder = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(folder.path(), Mode::Build, &|_| ()).expect("opens");
    let all: Vec<Finished> = (0..8).map(|n| make(&cache, &n.to_string())).collect();
    let kept = all
        .iter()
        .filter(|finished| finished.directory.exists())
        .count();
    assert_eq!(kept, RESULTS_KEPT);
    assert!(all.last().expect("eight").directory.exists());
}
