//! What holds for any text.
//!
//! Texts are random bytes, and random lines of what means something in unit files.

use proptest::prelude::*;
use systemd_unit::{UnitFile, UnitName, escape, size, time_span, words};

use crate::samples;

/// Lines that are likely to interact.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[Unit]",
        "[X-Fleet]",
        "[",
        "]",
        "A",
        "B",
        "=",
        "=1",
        "\\",
        "\\\\",
        "#",
        ";",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "\n\r",
        "\u{feff}",
        "\"",
        "'",
        "%i",
        "ä",
        "\n#c\\\n",
        "A=x\n",
        "B=y\\\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn bytes_do_not_panic_and_come_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(file) = UnitFile::parse_bytes(&bytes) {
            prop_assert_eq!(file.text().as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn texts_come_back_in_pieces(text in text()) {
        if let Ok(file) = UnitFile::parse(text.clone()) {
            prop_assert_eq!(file.to_string(), text);
        }
    }

    #[test]
    fn an_edit_does_what_it_says_and_nothing_else(text in text(), value in "[a-z ]{0,5}") {
        let Ok(before) = UnitFile::parse(text) else { return Ok(()) };
        let mut file = before.clone();
        file.set("Unit", "A", &value).unwrap();
        let found: Vec<&str> = file
            .assignments()
            .filter(|one| one.is("Unit", "A"))
            .map(|one| one.value)
            .collect();
        prop_assert_eq!(found, vec![value.trim()]);
        let others = |file: &UnitFile| -> Vec<(String, String, String)> {
            let others = file.assignments().filter(|one| !one.is("Unit", "A"));
            let owned = |one: systemd_unit::Assignment<'_>| {
                (one.section.to_owned(), one.key.to_owned(), one.value.to_owned())
            };
            others.map(owned).collect()
        };
        prop_assert_eq!(others(&file), others(&before));
        file.add("Unit", "A", "second").unwrap();
        prop_assert_eq!(file.last("Unit", "A").unwrap().value, "second");
        prop_assert_eq!(file.remove("Unit", "A").unwrap(), 2);
        prop_assert_eq!(others(&file), others(&before));
    }

    #[test]
    fn values_do_not_panic(text in "[ -~äµ]{0,30}") {
        let _ = (size::parse(&text), time_span::parse(&text), UnitName::new(text.clone()));
        let _ = words::split(&text, words::Escapes::Resolve);
        let _ = systemd_unit::percentage::parse_permyriad(&text);
    }

    #[test]
    fn escaped_strings_are_valid_and_come_back(text in "\\PC{1,30}") {
        let escaped = escape::escape(&text);
        let unescaped = escape::unescape(&escaped);
        prop_assert_eq!(unescaped.as_deref(), Some(&text[..]));
        if escaped.len() < 200 {
            let name = UnitName::new(format!("a@{escaped}.service"));
            prop_assert!(name.is_ok());
        }
    }

    #[test]
    fn quoted_words_come_back(list in prop::collection::vec("\\PC{0,8}", 0..5)) {
        let quoted: Vec<String> = list.iter().map(|word| words::quote(word)).collect();
        let split = words::split(&quoted.join(" "), words::Escapes::Resolve).unwrap();
        prop_assert_eq!(split, list);
    }
}

#[test]
fn samples_come_back() {
    for text in samples::ALL {
        assert_eq!(UnitFile::parse(*text).unwrap().text(), *text);
    }
}
