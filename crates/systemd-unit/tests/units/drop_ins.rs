//! Which drop-ins count, and in which order.
//!
//! systemd itself is not asked.

use systemd_unit::drop_in::{COUNT_MAX, DropInError, folders};
use systemd_unit::{DropIn, MergedUnit, UnitFile, UnitName};

fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

fn file<'a>(folder: &'a str, file: &'a str, text: &'a str) -> DropIn<'a> {
    DropIn { folder, file, text }
}

#[test]
fn folders_by_precedence() {
    assert_eq!(
        folders(&name("foo-bar-baz.service")),
        [
            "foo-bar-baz.service.d",
            "foo-bar-.service.d",
            "foo-.service.d",
            "service.d"
        ]
    );
    assert_eq!(
        folders(&name("a-b@1-2.timer")),
        [
            "a-b@1-2.timer.d",
            "a-b@.timer.d",
            "a-@1-2.timer.d",
            "a-@.timer.d",
            "timer.d"
        ]
    );
    assert_eq!(folders(&name("a@.path")), ["a@.path.d", "path.d"]);
}

#[test]
fn by_name_of_the_file_and_masked_by_the_more_specific() {
    let unit = UnitFile::parse("[Service]\nExecStart=/bin/a\nA=unit \\").unwrap();
    let files = [
        file("foo-.service.d", "20-b.conf", "[Service]\nA=masked\n"),
        file("service.d", "10-a.conf", "[Service]\nExecStart=\nA=first\n"),
        file(
            "foo-bar.service.d",
            "20-b.conf",
            "[Service]\nExecStart=/bin/b\n",
        ),
        file("foo-bar.service.d", "30-c.conf", ""),
        file("service.d", "30-c.conf", "[Service]\nA=masked too\n"),
        file("other.service.d", "10-a.conf", "[Service]\nA=other\n"),
        file("service.d", "notes.txt", "no unit file ["),
    ];
    let merged = MergedUnit::new(&name("foo-bar.service"), unit, &files).unwrap();
    let parts: Vec<&str> = merged.parts().map(|(name, _)| name).collect();
    let expected = [
        "foo-bar.service",
        "service.d/10-a.conf",
        "foo-bar.service.d/20-b.conf",
        "foo-bar.service.d/30-c.conf",
    ];
    assert_eq!(parts, expected);
    let of_a = systemd_unit::assignment::last(merged.assignments(), "Service", "A");
    assert_eq!(of_a.unwrap().value, "first");
    let starts = systemd_unit::assignment::list(merged.assignments(), "Service", "ExecStart");
    assert_eq!(
        starts.iter().map(|one| one.value).collect::<Vec<_>>(),
        ["/bin/b"]
    );
}

#[test]
fn errors_name_the_file() {
    let files = [file("a.service.d", "x.conf", "[A]\n[B\n")];
    let error = MergedUnit::new(&name("a.service"), UnitFile::default(), &files).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("a.service.d/x.conf: line 2: "),
        "{error}"
    );
    let file_names: Vec<String> = (0..=COUNT_MAX).map(|n| format!("{n}.conf")).collect();
    let files: Vec<_> = file_names
        .iter()
        .map(|name| file("service.d", name, ""))
        .collect();
    let error = MergedUnit::new(&name("a.service"), UnitFile::default(), &files);
    assert_eq!(error, Err(DropInError::TooMany(name("a.service"))));
}
