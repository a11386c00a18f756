//! The three formats come to the same values and places. What the keys mean is tested with their formats.

use super::*;

fn path(keys: &[&str]) -> KeyPath {
    keys.iter()
        .fold(KeyPath::top(), |path, key| match key.parse() {
            Ok(index) => path.index(index),
            Err(_) => path.key(key),
        })
}

#[test]
fn the_same_values_and_places_from_each_format() {
    let json = Document::json("{\n  \"a\": {\"b\": [1, \"x\\\"{\"]},\n  \"ü\": true\n}").unwrap();
    let yaml = Document::yaml("a:\n  b:\n  - 1\n  - 'x\"{'\nü: yes\n").unwrap();
    let toml = Document::toml("\"ü\" = true\n[a]\nb = [1, 'x\"{']\n").unwrap();
    assert_eq!(json.value, yaml.value);
    assert_eq!(json.value, toml.value);
    let place = |document: &Document, keys: &[&str]| {
        document.positions.get(&path(keys)).unwrap().to_string()
    };
    assert_eq!(place(&json, &["a", "b", "1"]), "2:18");
    assert_eq!(place(&json, &["ü"]), "3:3");
    assert_eq!(place(&json, &["a", "b", "0", "none"]), "2:15");
    assert_eq!(place(&yaml, &["a", "b", "1"]), "4:5");
    assert_eq!(place(&yaml, &["ü"]), "5:1");
    assert_eq!(place(&toml, &["a", "b", "1"]), "3:9");
}

#[test]
fn a_key_that_comes_twice_is_a_problem() {
    for problem in [
        Document::json("{\"a\": 1,\n \"a\": 2}").unwrap_err(),
        Document::yaml("a: 1\na: 2\n").unwrap_err(),
        Document::toml("a = 1\na = 2\n").unwrap_err(),
    ] {
        assert_eq!(problem.position.unwrap().line, 2, "{problem}");
    }
}

#[test]
fn plain_scalars_are_those_of_yaml_1_1() {
    let text = "[0644, 0o17, 0x1f, -3, 1.5, on, No, ~, 08, 1.2.3.4, 2026-11-29, 'yes']";
    let expected = serde_json::json!([
        420,
        15,
        31,
        -3,
        1.5,
        true,
        false,
        null,
        "08",
        "1.2.3.4",
        "2026-11-29",
        "yes"
    ]);
    assert_eq!(Document::yaml(text).unwrap().value, expected);
}

#[test]
fn what_could_be_expanded_is_refused() {
    for text in [
        "a: &x 1\nb: *x\n",
        "a: !!binary aGk=\n",
        "a: 1\n---\nb: 2\n",
    ] {
        assert!(Document::yaml(text).is_err(), "{text}");
    }
    let deep = "[".repeat(1_000);
    assert!(Document::yaml(&deep).is_err());
    assert!(Document::json(&deep).is_err());
    assert!(Document::toml(&format!("a = {deep}")).is_err());
}

#[test]
fn unknown_keys_and_wrong_types_have_a_place() {
    #[derive(Debug, serde::Deserialize)]
    struct Typed {
        #[expect(dead_code, reason = "read by serde")]
        a: Vec<u8>,
    }
    let document = Document::toml("a = [1, 'x']\nzz = 1\n").unwrap();
    let problems = document.read::<Typed>().unwrap_err();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].starts_with("1:9: a[1]: invalid type: string, expected u8"),
        "{texts:?}"
    );
    let document = Document::toml("a = [1]\nzz = 1\n").unwrap();
    let problems = document.read::<Typed>().unwrap_err();
    assert_eq!(problems[0].to_string(), "2:1: zz: unknown key");
}
