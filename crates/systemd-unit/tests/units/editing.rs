//! Edits change their lines and no others.
//!
//! What edits do to random texts is in `properties`.

use systemd_unit::{EditError, UnitFile};

use crate::samples;

fn edited(text: &str, edit: impl Fn(&mut UnitFile) -> Result<(), EditError>) -> String {
    let mut file = UnitFile::parse(text).unwrap();
    edit(&mut file).unwrap();
    file.to_string()
}

#[test]
fn set_replaces_the_first_and_removes_the_others() {
    let text = "# top\n[A]\nB = 1 \\\n  2\n#x\nB=3\nC=4\n[A]\nB=5";
    let after = edited(text, |file| file.set("A", "B", "new"));
    assert_eq!(after, "# top\n[A]\nB=new\n#x\nC=4\n[A]\n");
    let last = edited("[A]\nB=1", |file| file.set("A", "B", "2"));
    assert_eq!(last, "[A]\nB=2");
}

#[test]
fn add_finds_its_place() {
    let text = "[A]\nB=1\n\n# about C\n[C]\nD=1\n\n";
    let add = |section: &str, key: &str| edited(text, |file| file.add(section, key, "2"));
    assert_eq!(add("A", "B"), "[A]\nB=1\nB=2\n\n# about C\n[C]\nD=1\n\n");
    assert_eq!(add("C", "E"), "[A]\nB=1\n\n# about C\n[C]\nD=1\nE=2\n\n");
    assert_eq!(add("X", "Y"), format!("{text}\n[X]\nY=2\n"));
    assert_eq!(edited("", |file| file.add("A", "B", "1")), "[A]\nB=1\n");
    assert_eq!(edited("[A]", |file| file.add("A", "B", "1")), "[A]\nB=1\n");
    for text in [
        "[A]\nB=1 \\",
        "[A]\nB=1 \\\n",
        "[A]\nB=1 \\\n#",
        "[A]\\",
        "[A]\\\r",
        "[A]\\\n#\n",
    ] {
        for section in ["A", "X"] {
            let after = edited(text, |file| file.add(section, "Y", "1"));
            let after = UnitFile::parse(after).unwrap();
            assert_eq!(after.last(section, "Y").unwrap().value, "1", "{text}");
        }
    }
    let windows = edited(samples::WINDOWS, |file| {
        file.add("Unit", "After", "a.service")
    });
    assert!(windows.contains("Description=x\r\nAfter=a.service\r\n[Service]"));
}

#[test]
fn remove_counts() {
    let mut file = UnitFile::parse(samples::COREOS).unwrap();
    assert_eq!(file.remove("Service", "ExecStartPre").unwrap(), 2);
    assert_eq!(file.remove("Unit", "ExecStop").unwrap(), 0);
    let kept: Vec<&str> = samples::COREOS
        .lines()
        .filter(|line| !line.starts_with("ExecStartPre"))
        .collect();
    assert_eq!(file.text(), kept.join("\n") + "\n");
}

#[test]
fn no_assignment_hides_in_another() {
    let mut file = UnitFile::parse("[A]\nB=1\n").unwrap();
    let bad = [
        ("A", "B", "1\nUser=root"),
        ("A", "B", "1\\"),
        ("A", "B", "1\r2"),
        ("A", "#B", "1"),
        ("A", "[B", "1]"),
        ("A", "B=C", "1"),
        ("A", "", "1"),
        ("A", " B", "1"),
        ("A]\nX=1\n[A", "B", "1"),
        ("A\n", "B", "1"),
        ("A", "B", "1 \\\n# comment"),
    ];
    for (section, key, value) in bad {
        assert!(
            file.set(section, key, value).is_err(),
            "{section} {key} {value}"
        );
        assert!(UnitFile::from_options([(section, key, value)]).is_err());
    }
    assert_eq!(file.text(), "[A]\nB=1\n");
    assert!(UnitFile::from_options([("A", "B", "1 \\\n 2")]).is_ok());
}

#[test]
fn options_are_laid_out_as_fleet_did() {
    let options = [
        ("Unit", "A", "1"),
        ("Service", "B", "2"),
        ("Unit", "C", "3 4"),
    ];
    let file = UnitFile::from_options(options).unwrap();
    assert_eq!(file.text(), "[Unit]\nA=1\nC=3 4\n\n[Service]\nB=2\n");
}
