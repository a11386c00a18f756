//! The member on this machine, as its settings file says: whom a command means that names no server.
//!
//! Only a member that clients reach by TLS is looked for there; every other one listens where the default is.
//! What kvd itself makes of the file, and of its flags and environment, is kvd's affair.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kv_client::Tls;
use toml::{Table, Value};

/// Where kvd's settings are on a Keelson machine.
const SETTINGS: &str = "/etc/keelson/kvd.toml";

/// Where clients reach it, and with what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalMember {
    /// Separated by commas.
    pub(crate) endpoints: String,
    pub(crate) tls: Tls,
}

/// Nothing if there is no file, or none that says of TLS. What is wrong with it is told with its name.
pub(crate) fn local_member() -> Result<Option<LocalMember>, String> {
    match std::fs::read_to_string(Path::new(SETTINGS)) {
        Ok(text) => parse(&text).map_err(|error| {
            format!("{SETTINGS}: {error}; mend it, or name the servers with --endpoints")
        }),
        // Not for everybody to read: who may not is served by the default, or named servers.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(format!("{SETTINGS}: {error}")),
    }
}

fn parse(text: &str) -> Result<Option<LocalMember>, String> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    let endpoints = words(table.get("advertise-client-urls"));
    if !endpoints.iter().any(|url| url.starts_with("https://")) {
        return Ok(None);
    }
    let file = |name: &str| table.get(name).and_then(Value::as_str).map(PathBuf::from);
    Ok(Some(LocalMember {
        endpoints: endpoints.join(","),
        tls: Tls {
            trusted_ca_file: file("trusted-ca-file"),
            certificate_file: file("cert-file"),
            key_file: file("key-file"),
        },
    }))
}

/// A list, or words that commas separate.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(parts)) => parts.iter().flat_map(|part| words(Some(part))).collect(),
        Some(Value::String(text)) => text.split(',').map(|word| word.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_with_tls_is_reached_as_it_advertises() {
        for urls in [
            "'https://10.0.0.1:2379,https://m1:2379'",
            "['https://10.0.0.1:2379', 'https://m1:2379']",
        ] {
            let text = format!(
                "advertise-client-urls = {urls}\ntrusted-ca-file = '/a'\ncert-file = '/c'\nkey-file = '/k'\n"
            );
            let member = parse(&text).unwrap().unwrap();
            assert_eq!(member.endpoints, "https://10.0.0.1:2379,https://m1:2379");
            assert_eq!(member.tls.trusted_ca_file, Some("/a".into()));
            assert_eq!(member.tls.certificate_file, Some("/c".into()));
            assert_eq!(member.tls.key_file, Some("/k".into()));
        }
    }

    #[test]
    fn every_other_member_listens_where_the_default_is() {
        for text in [
            "",
            "name = 'a'",
            "advertise-client-urls = 'http://10.0.0.1:2379'",
        ] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told() {
        assert!(parse("name =").is_err());
    }
}
