//! Makes answers of different servers comparable: who answered is left out, and revisions are counted
//! from a beginning.

/// Numbers that say who answers, or when.
const LEFT_OUT: &[&str] = &[
    "cluster_id",
    "member_id",
    "raft_term",
    "ClusterID",
    "MemberID",
    "RaftTerm",
];
/// Numbers that are counted from the beginning.
const COUNTED: &[&str] = &[
    "revision",
    "create_revision",
    "mod_revision",
    "rev",
    "Revision",
    "CreateRevision",
    "ModRevision",
];

/// How one server counts.
pub(super) struct Numbers {
    base: i64,
}

impl Numbers {
    /// This revision is 0.
    pub(super) const fn since(base: i64) -> Self {
        Self { base }
    }

    /// The revision that is 0.
    pub(super) const fn base(&self) -> i64 {
        self.base
    }

    /// The text with `name: number` and `"name":number` in it made comparable.
    pub(super) fn normalize(&self, text: &str) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let mut normal = String::with_capacity(text.len());
        let mut rest = text;
        let mut name = "";
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                // Whatever stands between a name and its number keeps the name.
                if !matches!(first, ':' | ' ' | '"') {
                    name = "";
                }
                normal.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let (word, after) = rest.split_at(end);
            match word.parse::<i64>() {
                Ok(_) | Err(_) if LEFT_OUT.contains(&name) => normal.push('_'),
                Ok(0) => normal.push('0'),
                Ok(number) if COUNTED.contains(&name) => {
                    normal.push('@');
                    normal.push_str(&(number - self.base).to_string());
                }
                _ => normal.push_str(word),
            }
            name = word;
            rest = after;
        }
        normal
    }
}

#[test]
fn only_numbers_of_known_names_change() {
    let numbers = Numbers::since(7);
    let debug =
        "Header { cluster_id: 14841639068965178418, revision: 9, version: 9, create_revision: 0 }";
    let wanted = "Header { cluster_id: _, revision: @2, version: 9, create_revision: 0 }";
    assert_eq!(numbers.normalize(debug), wanted);
    let json = r#"{"header":{"member_id":5,"mod_revision":8},"kvs":[8]}"#;
    let wanted = r#"{"header":{"member_id":_,"mod_revision":@1},"kvs":[8]}"#;
    assert_eq!(numbers.normalize(json), wanted);
    let fields = "\"ClusterID\" : 5\n\"Revision\" : 9\n\"Version\" : 9";
    let wanted = "\"ClusterID\" : _\n\"Revision\" : @2\n\"Version\" : 9";
    assert_eq!(numbers.normalize(fields), wanted);
}
