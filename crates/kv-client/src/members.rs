//! The cluster itself: members, their health and figures, and a copy of everything.
//!
//! Members publish where clients reach them; [`Client::sync`] makes use of that.
use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::Client;
use crate::connection::Head;
use crate::endpoint::Endpoint;
use crate::error::{AttemptError, Error};
use crate::request::{Repeat, Request, escape_name};

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id in hexadecimal.
    pub id: String,
    /// Its name; empty until it has started.
    #[serde(default)]
    pub name: String,
    /// Where other members reach it.
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    #[serde(rename = "clientURLs", default)]
    pub client_urls: Vec<String>,
}

/// What a member says of itself when asked how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It can carry out requests.
    Healthy,
    /// It is there and cannot.
    Unhealthy,
}

/// Versions that a member reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Of the program.
    #[serde(rename = "etcdserver")]
    pub server: String,
    /// Of the API that all members agree on.
    #[serde(rename = "etcdcluster")]
    pub cluster: String,
}

/// Figures of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its id in hexadecimal.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whom it follows, in hexadecimal; empty if it knows none.
    pub leader: String,
}

/// A copy of everything, as it comes.
#[derive(Debug)]
pub struct Snapshot {
    head: SnapshotHead,
}

/// Only so that the answer need not be shown.
struct SnapshotHead(Head);

impl std::fmt::Debug for SnapshotHead {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("..")
    }
}

impl Snapshot {
    /// The next piece; nothing at the end. A piece that is missing is an error, never an end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, AttemptError>> {
        self.head.0.chunk().await
    }
}

#[derive(Deserialize)]
struct MemberList {
    members: Option<Vec<Member>>,
}

/// What a server says at a path where it serves nothing.
const NO_SUCH_PAGE: &str = "404 page not found";

fn member_target(id: &str) -> String {
    format!("/v2/members/{}", escape_name(id))
}

impl Client {
    /// Learns from the members where clients reach them, and asks there from now on.
    pub async fn sync(&self) -> Result<(), Error> {
        let members = self.members().await?;
        let urls = members.iter().flat_map(|member| &member.client_urls);
        let mut endpoints: Vec<Endpoint> = urls.filter_map(|url| url.parse().ok()).collect();
        endpoints.sort_by_key(ToString::to_string);
        endpoints.dedup();
        if endpoints.is_empty() {
            return Err(Error::NoPublishedEndpoints);
        }
        let mut known = self.endpoints();
        known.sort_by_key(ToString::to_string);
        if known != endpoints {
            self.set_endpoints(endpoints);
        }
        Ok(())
    }

    /// The members.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let list: MemberList = self.call_json(&Request::get("/v2/members")).await?;
        Ok(list.members.unwrap_or_default())
    }

    /// The member that leads.
    pub async fn leader(&self) -> Result<Member, Error> {
        self.call_json(&Request::get("/v2/members/leader")).await
    }

    /// Makes room for a new member, which can then be started.
    pub async fn add_member(&self, peer_urls: &[String]) -> Result<Member, Error> {
        let body = json!({"peerURLs": peer_urls});
        let request = Request::json(Method::POST, "/v2/members".to_owned(), &body);
        self.call_json(&request).await
    }

    /// Removes a member for good.
    pub async fn remove_member(&self, id: &str) -> Result<(), Error> {
        let request = Request {
            method: Method::DELETE,
            repeat: Repeat::Once,
            ..Request::get(&member_target(id))
        };
        self.call(&request).await?;
        Ok(())
    }

    /// Removes a member that lost its data and announces another in its place, of a new id.
    pub async fn replace_member(&self, id: &str, peer_urls: &[String]) -> Result<Member, Error> {
        let target = format!("/kvd/members/{}/replace", escape_name(id));
        let request = Request::json(Method::POST, target, &json!({"peerURLs": peer_urls}));
        match self.call_json(&request).await {
            // etcd does not know the request; it takes two of its own.
            Err(Error::Refused {
                status: 404,
                message,
            }) if message == NO_SUCH_PAGE => {
                self.remove_member(id).await?;
                self.add_member(peer_urls).await
            }
            answer => answer,
        }
    }

    /// Changes where other members reach a member.
    pub async fn update_member(&self, id: &str, peer_urls: &[String]) -> Result<(), Error> {
        let body = json!({"peerURLs": peer_urls});
        self.call(&Request::json(Method::PUT, member_target(id), &body))
            .await?;
        Ok(())
    }

    /// Asks one server how it is.
    pub async fn health_of(&self, endpoint: &Endpoint) -> Result<Health, Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Word {
            Text(String),
            Truth(bool),
        }
        #[derive(Deserialize)]
        struct Body {
            health: Word,
        }
        let body: Body = self.call_at(endpoint, &Request::get("/health")).await?;
        Ok(match body.health {
            Word::Truth(true) => Health::Healthy,
            Word::Text(text) if text == "true" => Health::Healthy,
            _ => Health::Unhealthy,
        })
    }

    /// Asks one server for its versions.
    pub async fn version_of(&self, endpoint: &Endpoint) -> Result<Version, Error> {
        self.call_at(endpoint, &Request::get("/version")).await
    }

    /// Asks one server for its figures.
    pub async fn status_of(&self, endpoint: &Endpoint) -> Result<ServerStatus, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Leader {
            leader: String,
        }
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            name: String,
            id: String,
            #[serde(default)]
            state: String,
            #[serde(rename = "leaderInfo", default)]
            leader_info: Leader,
        }
        let body: Body = self
            .call_at(endpoint, &Request::get("/v2/stats/self"))
            .await?;
        Ok(ServerStatus {
            id: body.id,
            name: body.name,
            is_leader: body.state == "StateLeader",
            leader: body.leader_info.leader,
        })
    }

    /// The index that one server has reached, without asking the others.
    pub async fn index_of(&self, endpoint: &Endpoint) -> Result<u64, Error> {
        // A key that hardly exists: its absence tells the index as well.
        let request = Request::get("/v2/keys/_kvctl_status?quorum=false");
        let unavailable = |error| {
            Error::Unavailable(vec![crate::error::Attempt {
                endpoint: endpoint.clone(),
                error,
            }])
        };
        let head = self.begin(endpoint, &request).await.map_err(unavailable)?;
        let whole = self.finish(head).await.map_err(unavailable)?;
        let header = whole.headers.get("x-etcd-index");
        let index = header.and_then(|value| value.to_str().ok()?.parse().ok());
        index.ok_or_else(|| Error::InvalidAnswer {
            endpoint: endpoint.clone(),
            reason: "it has no X-Etcd-Index header".to_owned(),
        })
    }

    /// One figure of a server's `/metrics`, the first of that name without labels.
    pub async fn metric_of(&self, endpoint: &Endpoint, name: &str) -> Result<Option<f64>, Error> {
        let unavailable = |error| {
            Error::Unavailable(vec![crate::error::Attempt {
                endpoint: endpoint.clone(),
                error,
            }])
        };
        let head = self
            .begin(endpoint, &Request::get("/metrics"))
            .await
            .map_err(unavailable)?;
        let whole = self.finish(head).await.map_err(unavailable)?;
        let text = String::from_utf8_lossy(&whole.body);
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.and_then(|value| value.trim().parse().ok()))
    }

    /// Begins a copy of everything from a kvd; etcd has no such thing in its v2 API.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let request = Request::get("/kvd/snapshot");
        let mut attempts = Vec::new();
        for endpoint in self.endpoints() {
            match self.begin(&endpoint, &request).await {
                Ok(head) if head.status.is_success() => {
                    let head = SnapshotHead(head);
                    return Ok(Snapshot { head });
                }
                Ok(head) => {
                    let status = head.status.as_u16();
                    let body = self.finish(head).await.map(|whole| whole.body);
                    let message = body.map(|body| String::from_utf8_lossy(&body).trim().to_owned());
                    if status < 500 {
                        return Err(Error::Refused {
                            status,
                            message: message.unwrap_or_default(),
                        });
                    }
                    attempts.push(crate::error::Attempt {
                        error: AttemptError::Server {
                            endpoint: endpoint.clone(),
                            status,
                            message: message.unwrap_or_default(),
                        },
                        endpoint,
                    });
                }
                Err(error) => attempts.push(crate::error::Attempt { endpoint, error }),
            }
        }
        Err(Error::Unavailable(attempts))
    }
}
