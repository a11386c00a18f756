//! Bodies read and refused as Go does; the texts are etcd 3.4.23's where it shows them.

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Cursor, Mismatch};

fn error(text: &str) -> String {
    Cursor::whole(text.as_bytes()).expect_err(text)
}

#[test]
fn refuses_with_the_errors_of_go() {
    for (text, wanted) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("[1,", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        (
            "[1,]",
            "invalid character ']' looking for beginning of value",
        ),
        (
            "{x",
            "invalid character 'x' looking for beginning of object key string",
        ),
        (
            "{\"a\":1,}",
            "invalid character '}' looking for beginning of object key string",
        ),
        ("{\"a\" 1", "invalid character '1' after object key"),
        (
            "{\"a\":1 2",
            "invalid character '2' after object key:value pair",
        ),
        ("[1 2", "invalid character '2' after array element"),
        ("null x", "invalid character 'x' after top-level value"),
        (
            "'a'",
            "invalid character '\\'' looking for beginning of value",
        ),
        ("[1\"", "invalid character '\"' after array element"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("\"\\x", "invalid character 'x' in string escape code"),
        (
            "\"\\u12g",
            "invalid character 'g' in \\u hexadecimal character escape",
        ),
        (
            "trux",
            "invalid character 'x' in literal true (expecting 'e')",
        ),
        ("-x", "invalid character 'x' in numeric literal"),
        (
            "1.x",
            "invalid character 'x' after decimal point in numeric literal",
        ),
        (
            "1e+x",
            "invalid character 'x' in exponent of numeric literal",
        ),
        ("é", "invalid character 'Ã' looking for beginning of value"),
    ] {
        assert_eq!(error(text), wanted, "{text}");
    }
    assert_eq!(error(&"[".repeat(20_000)), "exceeded max depth");
}

#[test]
fn reads_strings_as_go_does() {
    for (text, string) in [
        (r#" "a\n\/\u00e9\ud83d\ude00" "#, "a\n/é😀"),
        (r#""\ud83d\u0041\udc00x""#, "\u{fffd}A\u{fffd}x"),
        (r#""\ud83dx""#, "\u{fffd}x"),
    ] {
        let mut cursor = Cursor::whole(text.as_bytes()).expect(text);
        assert_eq!(cursor.string(), Ok(Some(string.to_owned())));
    }
    let mut cursor = Cursor::whole(b"\"\xe2\x82\"").expect("Go does not mind");
    assert_eq!(cursor.string(), Ok(Some("\u{fffd}\u{fffd}".to_owned())));
}

#[test]
fn finds_fields_among_others() {
    let text = br#"{"x":{"names":[1,{}]},"NAMES":["a",null,"b"],"y":-1.5e3,"nil":null} rest"#;
    let mut cursor = Cursor::first(text).expect("the first value is whole");
    let mut names = None;
    let result = cursor.each_field(
        |mismatch| mismatch,
        |name, cursor| {
            match name {
                "names" => names = cursor.strings()?,
                _ => cursor.skip_value(),
            }
            Ok(())
        },
    );
    assert_eq!(result, Ok(()));
    let wanted = ["a", "", "b"].map(str::to_owned);
    assert_eq!(names.as_deref(), Some(&wanted[..]));
}

#[test]
fn says_what_stands_in_the_place_of_another() {
    for (text, found, expected) in [
        ("1", "number", "[]string"),
        ("\"x\"", "string", "[]string"),
        ("{}", "object", "[]string"),
        ("[\"x\", 5]", "number", "string"),
        ("[[]]", "array", "string"),
        ("[true]", "bool", "string"),
    ] {
        let mut cursor = Cursor::whole(text.as_bytes()).expect(text);
        assert_eq!(
            cursor.strings(),
            Err(Mismatch { found, expected }),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn never_panics(text in "[\\[\\]{}:,\"\\\\utrnfae0-9. -]{0,40}", bytes in any::<Vec<u8>>()) {
        for text in [text.as_bytes(), &bytes] {
            let accepts = serde_json::from_slice::<serde_json::Value>(text).is_ok();
            let Ok(mut cursor) = Cursor::whole(text) else {
                prop_assert_eq!(accepts, false);
                continue;
            };
            drop(cursor.strings());
            let skip = |_: &str, cursor: &mut Cursor<'_>| { cursor.skip_value(); Ok(()) };
            let _: Result<(), Mismatch> = Cursor { text, at: 0 }.each_field(|mismatch| mismatch, skip);
        }
    }
}
