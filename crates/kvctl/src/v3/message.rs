//! The parts that answers share, as etcdctl prints them.
//!
//! Names in JSON are those of Go's types, which scripts rely on.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use etcd_client::{KeyValue as EtcdKeyValue, ResponseHeader};
use serde::{Serialize, Serializer};

use crate::v3::output::{Report, Style, Text};
use crate::v3::quote::quote;

/// Who answered, and when.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Header {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) cluster_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) member_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) revision: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) raft_term: u64,
}

/// Whether Go would leave it out.
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Header {
    pub(crate) fn of(header: Option<&ResponseHeader>) -> Option<Self> {
        header.map(|header| Self {
            cluster_id: header.cluster_id(),
            member_id: header.member_id(),
            revision: header.revision(),
            raft_term: header.raft_term(),
        })
    }

    pub(crate) fn fields(&self, text: &mut Text) {
        text.line(format!("\"ClusterID\" : {}", self.cluster_id));
        text.line(format!("\"MemberID\" : {}", self.member_id));
        text.line(format!("\"Revision\" : {}", self.revision));
        text.line(format!("\"RaftTerm\" : {}", self.raft_term));
    }
}

/// The header's fields; zeros where a server sends none.
pub(crate) fn header_fields(header: Option<&Header>, text: &mut Text) {
    header.cloned().unwrap_or_default().fields(text);
}

/// Bytes that are base64 in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

/// A key with its value.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeyValue {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) key: Bytes,
    #[serde(skip_serializing_if = "is_zero")]
    create_revision: i64,
    #[serde(skip_serializing_if = "is_zero")]
    mod_revision: i64,
    #[serde(skip_serializing_if = "is_zero")]
    version: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) value: Bytes,
    #[serde(skip_serializing_if = "is_zero")]
    lease: i64,
}

impl From<&EtcdKeyValue> for KeyValue {
    fn from(kv: &EtcdKeyValue) -> Self {
        Self {
            key: Bytes(kv.key().to_vec()),
            create_revision: kv.create_revision(),
            mod_revision: kv.mod_revision(),
            version: kv.version(),
            value: Bytes(kv.value().to_vec()),
            lease: kv.lease(),
        }
    }
}

impl KeyValue {
    pub(crate) fn simple(&self, style: Style, text: &mut Text) {
        if !style.value_only {
            text.bytes(&self.key.0, style);
        }
        text.bytes(&self.value.0, style);
    }

    pub(crate) fn fields(&self, prefix: &str, text: &mut Text) {
        text.line(format!("\"{prefix}Key\" : {}", quote(&self.key.0)));
        text.line(format!(
            "\"{prefix}CreateRevision\" : {}",
            self.create_revision
        ));
        text.line(format!("\"{prefix}ModRevision\" : {}", self.mod_revision));
        text.line(format!("\"{prefix}Version\" : {}", self.version));
        text.line(format!("\"{prefix}Value\" : {}", quote(&self.value.0)));
        text.line(format!("\"{prefix}Lease\" : {}", self.lease));
    }
}

/// An answer that says nothing but that it was done, and what that was.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<Header>,
    #[serde(skip)]
    pub(crate) text: String,
}

impl Done {
    pub(crate) fn new(header: Option<&ResponseHeader>, text: String) -> Self {
        Self {
            header: Header::of(header),
            text,
        }
    }
}

impl Report for Done {
    fn simple(&self, _: Style, text: &mut Text) {
        text.line(&self.text);
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        true
    }
}
