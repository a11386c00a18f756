//! Several members with empty folders agree on a new cluster.
//!
//! Ids are random and on each one's disk before the others hear them. All ask all; the member with
//! the first name writes the first entry once it has met everybody, the others wait for it. So there
//! is never more than one first entry, and a member that comes back with an empty folder is told
//! apart from the one that was there before.
use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::StartError;
use crate::member::{Beginning, ClusterId, MemberId, NodeData};
use crate::peer::connect::ask;
use crate::peer::wire::{Acquaintance, Hello, HelloAnswer, decode, encode};
use crate::settings::PeerTls;

const AGAIN: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(2);
const TELL_WHO_IS_MISSING: Duration = Duration::from_secs(5);
/// A member that said nothing for so long may have begun anew under another id.
const FORGET: Duration = Duration::from_secs(10);

/// The members of a new cluster: names and peer URLs.
pub(crate) type InitialMembers = Vec<(String, Vec<String>)>;

/// What a member that forms a cluster answers.
pub(crate) struct Forming {
    me: Hello,
    heard: Mutex<BTreeMap<String, (MemberId, Instant)>>,
}

impl Forming {
    /// As this member.
    pub(crate) fn new(me: Hello) -> Self {
        Self {
            me,
            heard: Mutex::default(),
        }
    }

    /// Answers another, and remembers who has which name.
    pub(crate) fn answer(&self, other: &Hello) -> HelloAnswer {
        if other.cluster_id == self.me.cluster_id {
            if other.name == self.me.name && other.id != self.me.id {
                return HelloAnswer::NameTaken;
            }
            let now = Instant::now();
            let mut heard = self.heard.lock();
            let (id, last) = heard.get(&other.name).copied().unwrap_or((other.id, now));
            if id != other.id && now.duration_since(last) < FORGET {
                return HelloAnswer::NameTaken;
            }
            heard.insert(other.name.clone(), (other.id, now));
        }
        HelloAnswer::Forming(self.me.clone())
    }
}

/// What to do when the others are known.
#[derive(Debug)]
pub(crate) enum Formed {
    /// Write the first entry, with these members.
    Initialize(BTreeMap<MemberId, NodeData>),
    /// Wait for the one who does.
    Wait,
}

/// The id of a cluster: the same on all members that were told the same.
pub(crate) fn cluster_id(members: &InitialMembers, token: &str) -> ClusterId {
    let mut sorted = members.clone();
    sorted.sort();
    // FNV-1a; every part ends with a byte that is in none of them.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(token);
    for (name, urls) in &sorted {
        add(name);
        let mut urls = urls.clone();
        urls.sort();
        for url in &urls {
            add(url);
        }
        add("");
    }
    ClusterId(hash.max(1))
}

/// What every member of the list must fulfil.
pub(crate) fn check(
    members: &InitialMembers,
    name: &str,
    peer_urls: &[String],
) -> Result<(), StartError> {
    for (at, (name, urls)) in members.iter().enumerate() {
        if members[..at].iter().any(|(earlier, _)| earlier == name) {
            let name = name.clone();
            return Err(StartError::DuplicateName { name });
        }
        for url in urls {
            if !crate::membership::is_peer_url(url) {
                return Err(StartError::PeerUrl { url: url.clone() });
            }
            if members[..at]
                .iter()
                .any(|(_, earlier)| earlier.contains(url))
            {
                return Err(StartError::DuplicateUrl { url: url.clone() });
            }
        }
    }
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    let own = members.iter().find(|(other, _)| other == name);
    if own.is_some_and(|(_, urls)| sorted(urls) == sorted(peer_urls)) {
        return Ok(());
    }
    Err(StartError::NotInInitialCluster {
        name: name.to_owned(),
        urls: peer_urls.to_vec(),
    })
}

/// Asks the others until all are known, or a running cluster has this member.
pub(crate) async fn form(
    me: &Hello,
    members: &InitialMembers,
    tls: Option<&PeerTls>,
) -> Result<Formed, StartError> {
    let mut met = BTreeMap::from([(me.name.clone(), me.id)]);
    let mut told = Instant::now();
    loop {
        for (name, urls) in members {
            if met.contains_key(name) {
                continue;
            }
            match meet(me, members, name, urls, tls).await? {
                Met::Member(id) => {
                    met.insert(name.clone(), id);
                }
                Met::Cluster => return Ok(Formed::Wait),
                Met::Nobody => {}
            }
        }
        if met.len() == members.len() {
            break;
        }
        if told.elapsed() > TELL_WHO_IS_MISSING {
            let missing = members.iter().map(|(name, _)| name);
            let missing: Vec<_> = missing.filter(|name| !met.contains_key(*name)).collect();
            tracing::info!(?missing, "waiting for the other members of the new cluster");
            told = Instant::now();
        }
        tokio::time::sleep(AGAIN).await;
    }
    if met.keys().next() != Some(&me.name) {
        return Ok(Formed::Wait);
    }
    let nodes = members.iter().map(|(name, urls)| {
        let id = met[name];
        let node = NodeData {
            name: name.clone(),
            peer_urls: urls.clone(),
            client_urls: Vec::new(),
            beginning: Beginning::Started(id.0),
        };
        (id, node)
    });
    Ok(Formed::Initialize(nodes.collect()))
}

enum Met {
    Member(MemberId),
    Cluster,
    Nobody,
}

async fn meet(
    me: &Hello,
    members: &InitialMembers,
    name: &str,
    urls: &[String],
    tls: Option<&PeerTls>,
) -> Result<Met, StartError> {
    for url in urls {
        let Ok(body) = encode(me) else { continue };
        let Ok(bytes) = ask(url, tls, "/hello", body, PATIENCE).await else {
            continue;
        };
        let other = match decode(&bytes) {
            Ok(HelloAnswer::Forming(other)) => other,
            Ok(HelloAnswer::Running(known)) if known.members.is_empty() => known.me,
            Ok(HelloAnswer::Running(known)) => {
                judge(me, members, url, &known)?;
                return Ok(Met::Cluster);
            }
            Ok(HelloAnswer::NameTaken) => {
                return Err(StartError::NameTaken {
                    name: me.name.clone(),
                    url: url.clone(),
                });
            }
            Ok(HelloAnswer::NotYet) | Err(_) => continue,
        };
        if other.cluster_id != me.cluster_id {
            return Err(StartError::OtherInitialCluster {
                url: url.clone(),
                expected: me.cluster_id,
                found: other.cluster_id,
            });
        }
        if other.name != name {
            return Err(StartError::OtherName {
                url: url.clone(),
                expected: name.to_owned(),
                found: other.name,
            });
        }
        return Ok(Met::Member(other.id));
    }
    Ok(Met::Nobody)
}

/// The cluster runs already: only a member that it knows by its id may go on.
fn judge(
    me: &Hello,
    members: &InitialMembers,
    url: &str,
    known: &Acquaintance,
) -> Result<(), StartError> {
    if known.members.iter().any(|member| member.id == me.id) {
        return Ok(());
    }
    let own_urls = members.iter().find(|(name, _)| *name == me.name);
    let own_urls = own_urls.map_or(&[][..], |(_, urls)| urls);
    let first_url = own_urls.first().cloned().unwrap_or_default();
    let (url, name) = (url.to_owned(), me.name.clone());
    let taken = known.members.iter().find(|member| {
        member.name == me.name || member.peer_urls.iter().any(|url| own_urls.contains(url))
    });
    Err(match taken {
        // A member has no name before its first start.
        Some(member) if member.name.is_empty() => StartError::MustJoin { url, name },
        Some(member) => StartError::LostData {
            url,
            name,
            id: member.id,
            peer_url: first_url,
        },
        None => StartError::NotAdded {
            url,
            name,
            peer_urls: own_urls.to_vec(),
            first_url,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;

    fn members() -> InitialMembers {
        let member = |name: &str| (name.to_owned(), vec![format!("http://{name}:2380")]);
        vec![member("a"), member("b")]
    }

    fn hello(name: &str, id: u64) -> Hello {
        Hello {
            name: name.to_owned(),
            id: MemberId(id),
            cluster_id: cluster_id(&members(), "t"),
        }
    }

    #[test]
    fn the_cluster_id_depends_on_all_but_the_order() {
        let mut reversed = members();
        reversed.reverse();
        assert_eq!(cluster_id(&members(), "t"), cluster_id(&reversed, "t"));
        assert_ne!(cluster_id(&members(), "t"), cluster_id(&members(), "u"));
        assert_ne!(
            cluster_id(&members(), "t"),
            cluster_id(&members()[..1].to_vec(), "t")
        );
    }

    #[test]
    fn lists_with_two_of_a_kind_or_without_this_member_are_refused() {
        let urls = vec!["http://a:2380".to_owned()];
        assert!(check(&members(), "a", &urls).is_ok());
        assert!(matches!(
            check(&members(), "c", &urls),
            Err(StartError::NotInInitialCluster { .. })
        ));
        let mut twice = members();
        twice[1].0 = "a".to_owned();
        assert!(matches!(
            check(&twice, "a", &urls),
            Err(StartError::DuplicateName { .. })
        ));
        let mut same_url = members();
        same_url[1].1.clone_from(&urls);
        assert!(matches!(
            check(&same_url, "a", &urls),
            Err(StartError::DuplicateUrl { .. })
        ));
    }

    #[tokio::test]
    async fn a_name_has_one_id_at_a_time() {
        let forming = Forming::new(hello("a", 1));
        assert!(matches!(
            forming.answer(&hello("b", 2)),
            HelloAnswer::Forming(_)
        ));
        assert!(matches!(
            forming.answer(&hello("b", 2)),
            HelloAnswer::Forming(_)
        ));
        assert_eq!(forming.answer(&hello("b", 3)), HelloAnswer::NameTaken);
        assert_eq!(forming.answer(&hello("a", 9)), HelloAnswer::NameTaken);
    }

    #[test]
    fn a_running_cluster_takes_back_only_the_id_it_knows() {
        let member = Member {
            id: MemberId(1),
            name: "a".to_owned(),
            peer_urls: vec!["http://a:2380".to_owned()],
            client_urls: Vec::new(),
            learner: false,
        };
        let announced = Member {
            id: MemberId(3),
            name: String::new(),
            peer_urls: vec!["http://b:2380".to_owned()],
            ..member.clone()
        };
        let known = Acquaintance {
            me: hello("z", 2),
            members: vec![member, announced],
            removed: Vec::new(),
        };
        let judged = |name, id| judge(&hello(name, id), &members(), "http://b:2380", &known);
        assert!(judged("a", 1).is_ok());
        let lost = judged("a", 7).err().map(|error| error.to_string());
        assert!(lost.is_some_and(|text| text.contains("kvctl member replace 1 http://a:2380")));
        assert!(matches!(judged("b", 7), Err(StartError::MustJoin { .. })));
        assert!(matches!(judged("c", 7), Err(StartError::NotAdded { .. })));
    }
}
