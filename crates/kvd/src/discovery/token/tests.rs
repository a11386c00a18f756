//! Discovery at a real etcd.

use super::*;
use crate::testing::{Etcd, asker, put};

const TOKEN: &str = "/_etcd/registry/t";

fn own(key: &str, name: &str, url: &str) -> Registration {
    Registration {
        key: key.to_owned(),
        name: name.to_owned(),
        peer_urls: vec![url.to_owned()],
    }
}

#[tokio::test]
async fn members_find_each_other_and_who_comes_late_finds_it_full() {
    let etcd = Etcd::start().await;
    let url = format!("{}/v2/keys{TOKEN}", etcd.client_url());
    let asker = asker();

    let unprepared = discover(&asker, &url, &own("1", "a", "http://a:1")).await;
    let error = unprepared.unwrap_err();
    assert!(matches!(error, DiscoveryError::NoSize { .. }), "{error}");
    put(&etcd.client_url(), &format!("{TOKEN}/_config/size"), "2").await;

    let (first, second) = (own("1", "a", "http://a:1"), own("2", "b", "http://b:1"));
    let (found, also_found) = tokio::join!(
        discover(&asker, &url, &first),
        discover(&asker, &url, &second),
    );
    let pair = |name: &str| (name.to_owned(), vec![format!("http://{name}:1")]);
    assert_eq!(found.unwrap(), [pair("a"), pair("b")]);
    assert_eq!(also_found.unwrap(), [pair("a"), pair("b")]);

    // A member that starts again before it has data finds the same.
    let again = discover(&asker, &url, &first).await;
    assert_eq!(again.unwrap().len(), 2);
    let late = discover(&asker, &url, &own("3", "c", "http://c:1")).await;
    let Err(DiscoveryError::Full {
        size: 2, members, ..
    }) = late
    else {
        panic!("{late:?}");
    };
    assert_eq!(members, [pair("a"), pair("b")]);
    assert_eq!(members_at(&asker, &url).await.unwrap().len(), 2);
}

#[tokio::test]
async fn two_members_of_one_name_are_told() {
    let etcd = Etcd::start().await;
    let url = format!("{}/v2/keys{TOKEN}", etcd.client_url());
    put(&etcd.client_url(), &format!("{TOKEN}/_config/size"), "2").await;
    let asker = asker();
    let (first, second) = (own("1", "a", "http://a:1"), own("2", "a", "http://b:1"));
    let (found, also_found) = tokio::join!(
        discover(&asker, &url, &first),
        discover(&asker, &url, &second),
    );
    for result in [found, also_found] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("two members are named \"a\""), "{message}");
    }
}

#[tokio::test]
async fn what_is_no_discovery_service_is_named() {
    let [port] = crate::testing::free_ports();
    let url = format!("http://127.0.0.1:{port}/token");
    let error = discover(&asker(), &url, &own("1", "a", "http://a:1")).await;
    let message = error.unwrap_err().to_string();
    assert!(message.contains(&url), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn values_of_forms_are_encoded() {
    assert_eq!(percent_encode("a=http://b:1"), "a%3Dhttp%3A%2F%2Fb%3A1");
}
