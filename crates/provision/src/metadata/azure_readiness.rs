//! Tells Azure that a machine is ready: without it the machine counts as failed after a while, and so does whoever
//! made it.
//!
//! What Azure's own agent tells beyond that is not told. Source: Microsoft Learn, "Creating generalized images without a
//! provisioning agent": the goal state says which machine this is, and the report names it.

use super::client::{Client, MetadataError};

/// Of the fabric's own service, on every machine; another one than the metadata service.
pub const ADDRESS: &str = "http://168.63.129.16";

const GOAL_STATE: &str = "/machine/?comp=goalstate";
const HEALTH: &str = "/machine/?comp=health";
/// Of the protocol.
const VERSION: &str = "2012-11-30";
/// Longer is no machine's number.
const NAME_BYTES_MAX: usize = 128;

/// Which machine the fabric takes this one for.
#[derive(Debug, PartialEq, Eq)]
struct GoalState<'a> {
    incarnation: &'a str,
    container: &'a str,
    instance: &'a str,
}

/// Tells it, once the goal state was asked for.
///
/// # Errors
/// If the service does not answer in time, or not as it should.
pub fn report(client: &Client<'_>) -> Result<(), MetadataError> {
    let client = client.with_header("x-ms-version", VERSION);
    let text = client.text(GOAL_STATE)?;
    let text = text.ok_or_else(|| client.error(GOAL_STATE, "the service is not there"))?;
    let state = GoalState::read(&text).map_err(|reason| client.error(GOAL_STATE, reason))?;
    let body = ("text/xml; charset=utf-8", state.ready());
    let answer = client.post(HEALTH, &body)?;
    answer.ok_or_else(|| client.error(HEALTH, "the service is not there"))
}

impl<'a> GoalState<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let element = |name: &str| {
            let found = element(text, name).filter(|value| is_name(value));
            found.ok_or_else(|| format!("the goal state has no {name} that can be one"))
        };
        Ok(Self {
            incarnation: element("Incarnation")?,
            container: element("ContainerId")?,
            instance: element("InstanceId")?,
        })
    }

    fn ready(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <Health xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\
             <GoalStateIncarnation>{}</GoalStateIncarnation>\
             <Container><ContainerId>{}</ContainerId>\
             <RoleInstanceList><Role><InstanceId>{}</InstanceId>\
             <Health><State>Ready</State></Health>\
             </Role></RoleInstanceList></Container></Health>",
            self.incarnation, self.container, self.instance
        )
    }
}

/// The text of the first element of this name. The document is a machine's, with one machine in it; no value in it has
/// anything to be unescaped.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim())
}

/// Whether it can stand in the report as it is.
fn is_name(text: &str) -> bool {
    let suits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.{}".contains(&byte);
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(suits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::PACE;
    use crate::mock_server::{Answer, MockServer};

    const TEXT: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<GoalState>\n<Version>2012-11-30</Version>\
                        <Incarnation>3</Incarnation><Machine><ExpectedState>Started</ExpectedState></Machine>\
                        <Container><ContainerId>c-1</ContainerId><RoleInstanceList><RoleInstance>\
                        <InstanceId>{7}._vm</InstanceId><State>Started</State></RoleInstance></RoleInstanceList>\
                        </Container></GoalState>";

    fn report_to(server: &MockServer) -> Result<(), String> {
        let client = Client::new(&server.url(), PACE, &|_| {});
        report(&client).map_err(|error| error.to_string())
    }

    #[test]
    fn the_machine_of_the_goal_state_is_called_ready() {
        let server = MockServer::start(|request| {
            assert_eq!(request.header("x-ms-version"), Some("2012-11-30"));
            match request.line.as_str() {
                "GET /machine/?comp=goalstate" => Answer::text(TEXT),
                "POST /machine/?comp=health" => {
                    assert_eq!(
                        request.header("content-type"),
                        Some("text/xml; charset=utf-8")
                    );
                    for part in [
                        "<GoalStateIncarnation>3</GoalStateIncarnation>",
                        "<ContainerId>c-1</ContainerId>",
                        "<InstanceId>{7}._vm</InstanceId><Health><State>Ready</State></Health>",
                    ] {
                        assert!(request.body.contains(part), "{}", request.body);
                    }
                    Answer::text("")
                }
                _ => Answer::status("404 Not Found"),
            }
        });
        report_to(&server).unwrap();
        assert_eq!(
            server.requests(),
            ["GET /machine/?comp=goalstate", "POST /machine/?comp=health"]
        );
    }

    #[test]
    fn a_wrong_goal_state_is_no_report() {
        for wrong in [
            "",
            "<Incarnation>3</Incarnation>",
            &TEXT.replace("c-1", "<x/>"),
        ] {
            let text = wrong.to_owned();
            let server = MockServer::start(move |_| Answer::text(&text));
            let error = report_to(&server).unwrap_err();
            assert!(
                error.contains("?comp=goalstate: the goal state has no "),
                "{error}"
            );
            assert_eq!(server.requests().len(), 1);
        }
    }

    #[test]
    fn a_report_that_is_not_taken_is_an_error() {
        let server = MockServer::start(|request| match request.line.as_str() {
            "GET /machine/?comp=goalstate" => Answer::text(TEXT),
            _ => Answer::status("404 Not Found"),
        });
        let error = report_to(&server).unwrap_err();
        assert!(
            error.ends_with("?comp=health: the service is not there"),
            "{error}"
        );
    }
}
