//! The crate bollard as a client of the Docker Engine API, over the machine's socket.

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use bollard::{ClientVersion, Docker};
use futures::{Stream, StreamExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::engine::engine;

/// What comes of both streams.
async fn text(
    output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>,
) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    let mut output = std::pin::pin!(output);
    while let Some(piece) = output.next().await {
        match piece.expect("output") {
            LogOutput::StdErr { message } => err.push_str(&String::from_utf8_lossy(&message)),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                out.push_str(&String::from_utf8_lossy(&message));
            }
            LogOutput::StdIn { .. } => panic!("input comes back"),
        }
    }
    (out, err)
}

#[test]
fn bollard_runs_containers() {
    let node = engine("b1");
    let socket = format!("/proc/{}/root/run/launcher.sock", node.process_id());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let version = ClientVersion {
            major_version: 1,
            minor_version: 47,
        };
        let docker = Docker::connect_with_unix(&socket, 60, &version).expect("a client");
        let docker = docker.negotiate_version().await.expect("a version");
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
        let version = docker.version().await.expect("a version");
        assert_eq!(version.api_version.as_deref(), Some("1.47"));
        let id = create(&docker).await;
        attach(&docker, &id).await;
        exec(&docker, &id).await;
        end(&docker, &id).await;
    });
    node.assert_nothing_left();
}

async fn create(docker: &Docker) -> String {
    let body = ContainerCreateBody {
        image: Some("busybox:saved".to_owned()),
        cmd: Some(
            ["sh", "-c", "read x; echo got $x; read y; exit 3"]
                .map(ToOwned::to_owned)
                .into(),
        ),
        open_stdin: Some(true),
        attach_stdin: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default()
        .name("crate")
        .build();
    let created = docker.create_container(Some(options), body).await;
    created.expect("a container").id
}

/// Before it starts.
async fn attach(docker: &Docker, id: &str) {
    let options = AttachContainerOptionsBuilder::default()
        .stream(true)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .build();
    let mut attached = docker
        .attach_container(id, Some(options))
        .await
        .expect("attached");
    docker.start_container(id, None).await.expect("started");
    attached.input.write_all(b"this\n").await.expect("written");
    attached.input.flush().await.expect("written");
    let piece = attached
        .output
        .next()
        .await
        .expect("output")
        .expect("output");
    assert_eq!(piece.into_bytes().as_ref(), b"got this\n");
    let inspected = docker
        .inspect_container(id, None)
        .await
        .expect("a container");
    let state = inspected.state.expect("a state");
    assert_eq!((state.running, state.paused), (Some(true), Some(false)));
}

async fn exec(docker: &Docker, id: &str) {
    let config = ExecConfig {
        cmd: Some(
            ["sh", "-c", "cat; echo err >&2; exit 4"]
                .map(ToOwned::to_owned)
                .into(),
        ),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let exec = docker.create_exec(id, config).await.expect("made").id;
    let started = docker.start_exec(&exec, None::<StartExecOptions>).await;
    let StartExecResults::Attached { output, mut input } = started.expect("started") else {
        panic!("it is detached");
    };
    input.write_all(b"in").await.expect("written");
    input.shutdown().await.expect("closed");
    assert_eq!(text(output).await, ("in".to_owned(), "err\n".to_owned()));
    let inspected = docker.inspect_exec(&exec).await.expect("known");
    assert_eq!(
        (inspected.running, inspected.exit_code),
        (Some(false), Some(4))
    );
}

async fn end(docker: &Docker, id: &str) {
    let options = WaitContainerOptionsBuilder::default()
        .condition("next-exit")
        .build();
    let mut waiting = std::pin::pin!(docker.wait_container(id, Some(options)));
    // A client that reads logs to the end while the container ends.
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .follow(true)
        .build();
    let logs = docker.logs(id, Some(options));
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        docker.kill_container(id, None).await.expect("killed");
    };
    let (logs, (), waited) = tokio::join!(text(logs), stop, waiting.next());
    assert_eq!(logs.0, "got this\n");
    // As an error, if it is not zero.
    let code = match waited.expect("an end") {
        Ok(response) => response.status_code,
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(code, 137);
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    docker
        .remove_container(id, Some(options))
        .await
        .expect("removed");
}
