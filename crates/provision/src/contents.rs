//! The bytes of all files, fetched and checked before anything is written.
//!
//! Knows no paths.

use provision_model::plan::{Contents, Plan, Source, Writing};

use crate::fetch::Fetch;
use crate::findings::Findings;

/// What a file shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// What it has; nothing if it is new.
    Kept,
    /// These.
    Whole(Vec<u8>),
    /// These at its end.
    AtEnd(Vec<u8>),
}

/// The addresses of all that is remote, in order.
pub(crate) fn addresses(plan: &Plan) -> Vec<String> {
    let files = plan.files.iter();
    let files = files.flat_map(|file| file.value.writing.parts());
    let includes = plan.includes.iter().map(|one| &one.value.contents);
    includes
        .chain(files)
        .filter_map(|contents| match &contents.source {
            Source::Remote(remote) => Some(remote.url.clone()),
            Source::Inline(_) => None,
        })
        .collect()
}

/// The bytes of every file, in the plan's order; what cannot be had is a problem and comes as [`Bytes::Kept`].
pub(crate) fn gather(
    plan: &Plan,
    fetch: Option<&dyn Fetch>,
    findings: &mut Findings,
) -> Vec<Bytes> {
    let files = plan.files.iter();
    files
        .map(|file| {
            let bytes = of_file(&file.value.writing, fetch);
            findings.take(&file.key, bytes).unwrap_or(Bytes::Kept)
        })
        .collect()
}

fn of_file(writing: &Writing, fetch: Option<&dyn Fetch>) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    for part in writing.parts() {
        bytes.extend(open(part, fetch)?);
    }
    Ok(match writing {
        Writing::Touch => Bytes::Kept,
        Writing::Append(_) => Bytes::AtEnd(bytes),
        Writing::Whole(_) | Writing::WholeAndAppend(..) => Bytes::Whole(bytes),
    })
}

/// Bytes checked and unpacked, wherever they are.
pub(crate) fn open(contents: &Contents, fetch: Option<&dyn Fetch>) -> Result<Vec<u8>, String> {
    match (&contents.source, fetch) {
        (Source::Inline(bytes), _) => contents.open(bytes).map_err(|error| error.to_string()),
        (Source::Remote(remote), Some(fetch)) => {
            let bytes = fetch.fetch(remote).map_err(|error| error.to_string())?;
            let opened = contents.open(&bytes);
            opened.map_err(|error| format!("{}: {error}", remote.url))
        }
        (Source::Remote(remote), None) => Err(format!("{} is on the network", remote.url)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use provision_model::parse;
    use provision_model::plan::Remote;

    use super::*;
    use crate::fetch::FetchError;

    /// Every address has these bytes.
    struct Web(Vec<u8>);

    impl Fetch for Web {
        fn fetch(&self, remote: &Remote) -> Result<Vec<u8>, FetchError> {
            if remote.url.ends_with("missing") {
                let (url, reason) = (remote.url.clone(), "404".to_owned());
                return Err(FetchError { url, reason });
            }
            Ok(self.0.clone())
        }
    }

    fn plan(text: &str) -> Plan {
        parse(text.as_bytes()).unwrap().1
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn remote_bytes_are_unpacked_and_checked() {
        let text = "[[files]]\npath = '/etc/a'\nsource = 'http://x/a'\ngzip = true\n\
                    [[files]]\npath = '/etc/b'\nsource = 'http://x/missing'\n\
                    [[files]]\npath = '/etc/c'\nsource = 'http://x/c'\ndigest = 'sha256-0000000000000000000000000000000000000000000000000000000000000000'\n\
                    [[files]]\npath = '/etc/d'\ncontents = 'here'\nappend = true\n";
        let plan = plan(text);
        assert_eq!(addresses(&plan).len(), 3);
        let mut findings = Findings::default();
        let web = Web(packed(b"hello"));
        let bytes = gather(&plan, Some(&web), &mut findings);
        assert_eq!(bytes[0], Bytes::Whole(b"hello".to_vec()));
        assert_eq!(bytes[3], Bytes::AtEnd(b"here".to_vec()));
        let problems = findings.finish().unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains("http://x/missing: 404"), "{texts:?}");
        assert!(texts[1].starts_with("files[2]: http://x/c: the contents are sha256-"));
    }

    #[test]
    fn without_a_network_nothing_remote_is_had() {
        let plan = plan("[[files]]\npath = '/etc/a'\nsource = 'http://x/a'\n");
        let mut findings = Findings::default();
        assert_eq!(gather(&plan, None, &mut findings), [Bytes::Kept]);
        assert!(findings.finish().is_err());
    }
}
