//! Mistakes in the recipe and the lock: an error that says where, and nothing built.

use std::fs::{self, File};

use crate::fixture::{Cache, Checkout, NO_MIRROR, Run, assert_says};

/// Nothing of an image, and no step that came as far as a result.
fn assert_nothing_built(cache: &Cache) {
    assert!(!cache.image().exists());
    for step in ["tools", "unpack", "compose", "disk"] {
        assert!(!cache.file(step).exists(), "{step} ran");
    }
}

#[test]
fn an_unknown_key_is_named_with_file_and_line() {
    let (cache, checkout) = (Cache::empty(), Checkout::new());
    checkout.replace("image/os.toml", "[disk]\n", "[disk]\nesp-size = 4\n");
    let recipe = checkout.read("image/os.toml");
    let line = recipe.lines().position(|line| line == "esp-size = 4");
    let line = format!("line {}", line.expect("just written") + 1);
    let error = cache.build_of(&checkout).fail();
    assert_says(
        &error,
        &["image/os.toml", "esp-size", &line, "unknown field"],
    );
    assert_nothing_built(&cache);
}

#[test]
fn a_lock_older_than_the_recipe_names_what_it_lacks_and_the_command() {
    let (cache, checkout) = (Cache::empty(), Checkout::new());
    checkout.replace("image/os.toml", "\"less\",", "\"less\", \"tmux\",");
    let error = cache.build_of(&checkout).fail();
    assert_says(&error, &["packages.lock", "tmux", "`keelson lock`"]);
    assert_nothing_built(&cache);
}

#[test]
fn a_package_that_does_not_exist_is_named_and_the_lock_stays() {
    let (cache, checkout) = (Cache::empty(), Checkout::new());
    let before = checkout.read("image/packages.lock");
    checkout.replace(
        "image/os.toml",
        "\"less\",",
        "\"less\", \"no-such-pakcage\",",
    );
    let run = Run::new("lock", cache.path(), checkout.path());
    let error = run.mirror(None).fail();
    assert_says(&error, &["no-such-pakcage"]);
    assert_eq!(checkout.read("image/packages.lock"), before);
    assert!(!checkout.path().join("image/packages.lock.new").exists());
}

#[test]
fn locking_without_a_network_keeps_the_lock() {
    let (cache, checkout) = (Cache::empty(), Checkout::new());
    let before = checkout.read("image/packages.lock");
    let error = Run::new("lock", cache.path(), checkout.path()).fail();
    assert_says(&error, &["update", NO_MIRROR]);
    assert_eq!(checkout.read("image/packages.lock"), before);
}

#[test]
fn an_unknown_product_lists_the_known_ones() {
    let cache = Cache::cold();
    let error = cache.build().argument("--product=toaster").fail();
    assert_says(&error, &["toaster", "metal, vm"]);
    assert_nothing_built(&cache);
}

#[test]
fn a_version_that_would_break_a_boot_entry_is_refused() {
    let cache = Cache::cold();
    let error = cache.build().argument("--version=1.0+3").fail();
    assert_says(&error, &["1.0+3", "is no version"]);
    assert_nothing_built(&cache);
}

#[test]
fn a_second_build_in_the_same_cache_is_refused_at_once() {
    let (cache, checkout) = (Cache::empty(), Checkout::new());
    fs::create_dir_all(cache.path()).expect("created");
    let held = File::create(cache.file("lock")).expect("created");
    held.lock().expect("locked");
    let words = [
        "another build is running in",
        &cache.path().display().to_string(),
    ];
    assert_says(&cache.build().fail(), &words);
    assert_says(
        &Run::new("lock", cache.path(), checkout.path()).fail(),
        &words,
    );
    assert_nothing_built(&cache);
}
