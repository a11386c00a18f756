//! What is read out of a text, and what is refused.
//!
//! Changing texts is in `editing`.

use systemd_unit::file::SIZE_MAX;
use systemd_unit::{ProblemKind, SyntaxErrorKind, UnitFile};

use crate::samples;

fn parse(text: &str) -> UnitFile {
    UnitFile::parse(text).unwrap()
}

fn values<'a>(file: &'a UnitFile, section: &str, key: &str) -> Vec<(&'a str, usize)> {
    let of_key = file.assignments().filter(|one| one.is(section, key));
    of_key.map(|one| (one.value, one.line)).collect()
}

#[test]
fn coreos() {
    let file = parse(samples::COREOS);
    let sections: Vec<&str> = file.sections().collect();
    assert_eq!(sections, ["Unit", "Service", "X-Fleet"]);
    let start = file.last("Service", "ExecStart").unwrap();
    let words: Vec<&str> = start.value.split_whitespace().collect();
    let whole = "/usr/bin/docker run --rm --name web-%i -p ${COREOS_PRIVATE_IPV4}:80:80 \
                 -e \"NAME=web %i\" example/web:latest";
    assert_eq!(words.join(" "), whole);
    assert_eq!(start.line, 12);
    assert_eq!(file.last("Service", "ExecStop").unwrap().line, 18);
    assert_eq!(
        values(&file, "X-Fleet", "X-ConditionMachineMetadata"),
        [("\"region=north\" \"disk=ssd\"", 21)]
    );
    assert_eq!(file.list("Service", "ExecStartPre").len(), 2);
    assert_eq!(file.problems().count(), 0);
}

#[test]
fn sections_again_and_resets() {
    let file = parse(samples::SHUFFLED);
    assert_eq!(
        file.last("Unit", "Description").unwrap().value,
        "A side kick"
    );
    assert_eq!(
        values(&file, "Unit", "After"),
        [("a.service", 9), ("b.service", 14)]
    );
    let list = file.list("Service", "ExecStart");
    assert_eq!(list.len(), 1);
    assert_eq!(
        list[0].value, r"/bin/b\\",
        "two backslashes do not continue"
    );
}

#[test]
fn windows() {
    let file = parse(samples::WINDOWS);
    assert_eq!(file.last("Unit", "Description").unwrap().value, "x");
    assert_eq!(
        file.last("Service", "ExecStart").unwrap().value,
        "/bin/a    b"
    );
    assert_eq!(file.last("Service", "ExecStart").unwrap().line, 4);
}

#[test]
fn a_comment_may_end_with_a_backslash() {
    let file = parse("[A]\n# no \\\nB=1\nC=1 \\\n# no \\\n2\n");
    assert_eq!(values(&file, "A", "B"), [("1", 3)]);
    assert_eq!(values(&file, "A", "C"), [("1  2", 4)]);
}

#[test]
fn an_unfinished_value_counts() {
    assert_eq!(values(&parse("[A]\nB=1 \\"), "A", "B"), [("1", 2)]);
    assert_eq!(values(&parse("[A]\nB=1 \\\n\nC=2"), "A", "C"), [("2", 4)]);
    assert_eq!(values(&parse("[A]\nB=1\\\rC=2\rD=3"), "A", "D"), [("3", 4)]);
}

#[test]
fn what_systemd_skips() {
    let file = parse(samples::LEFTOVERS);
    let problems: Vec<_> = file.problems().map(|one| (one.line, one.kind)).collect();
    let outside = ProblemKind::OutsideOfSection;
    let expected = [
        (1, outside),
        (2, outside),
        (3, outside),
        (5, ProblemKind::NoEqualsSign),
        (7, ProblemKind::NoKey),
    ];
    assert_eq!(problems, expected);
    assert_eq!(
        file.last("Unit", "Description").unwrap().value,
        "{{ name }}"
    );
}

#[test]
fn what_is_refused() {
    let line_and_kind = |bytes: &[u8]| {
        let error = UnitFile::parse_bytes(bytes).unwrap_err();
        (error.line, error.kind)
    };
    let header = SyntaxErrorKind::SectionHeader("[Unit".to_owned());
    assert_eq!(line_and_kind(b"\n\r\n[Unit\n"), (3, header));
    assert_eq!(
        line_and_kind(b"[A]\r\nB=\xff"),
        (2, SyntaxErrorKind::NotUtf8)
    );
    assert_eq!(line_and_kind(b"[A]\nB=\0"), (2, SyntaxErrorKind::ZeroByte));
    let mut long = vec![b'#'; SIZE_MAX];
    long[9] = b'\n';
    assert!(UnitFile::parse_bytes(&long).is_ok());
    long.push(b'\n');
    assert_eq!(line_and_kind(&long), (2, SyntaxErrorKind::TooLong));
}
