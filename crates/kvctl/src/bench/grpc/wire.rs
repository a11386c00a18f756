//! One HTTP/2 connection that carries gRPC calls.
//!
//! Of answers it reads no more than it is asked to.
use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{RecvStream, SendStream};
use hyper::{HeaderMap, Request};
use kv_client::Endpoint;
use tokio::net::TcpStream;

/// A connection.
pub(super) struct Wire {
    sender: SendRequest<Bytes>,
    authority: String,
}

/// A call that goes on in both directions.
pub(super) struct Stream {
    /// Our side stays open as long as this is there.
    _sending: SendStream<Bytes>,
    pub(super) receiving: RecvStream,
}

impl Wire {
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Self, String> {
        let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await;
        let stream = stream.map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::task::spawn_local(async move {
            // How it ended is told to whoever waits on it.
            let _ended = connection.await;
        });
        Ok(Self {
            sender,
            authority: endpoint.authority(),
        })
    }

    fn request(&self, path: &str) -> Result<Request<()>, String> {
        Request::post(format!("http://{}{path}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| error.to_string())
    }

    /// Sends one message and waits for the end of the answer.
    pub(super) async fn call(&mut self, path: &str, message: Bytes) -> Result<(), String> {
        self.answer(path, message)
            .await
            .map_err(|error| error.to_string())?
    }

    async fn answer(
        &mut self,
        path: &str,
        message: Bytes,
    ) -> Result<Result<(), String>, h2::Error> {
        let request = match self.request(path) {
            Ok(request) => request,
            Err(reason) => return Ok(Err(reason)),
        };
        std::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut sending) = self.sender.send_request(request, false)?;
        sending.send_data(message, true)?;
        let response = response.await?;
        if response.headers().contains_key("grpc-status") {
            return Ok(status(response.headers()));
        }
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            let bytes = piece?.len();
            body.flow_control().release_capacity(bytes)?;
        }
        let trailers = body.trailers().await?;
        Ok(status(&trailers.unwrap_or_default()))
    }

    /// Begins a call that goes on in both directions, with its first messages.
    pub(super) async fn open(&mut self, path: &str, messages: Bytes) -> Result<Stream, String> {
        let request = self.request(path)?;
        let failed = |error: h2::Error| error.to_string();
        std::future::poll_fn(|context| self.sender.poll_ready(context))
            .await
            .map_err(failed)?;
        let (response, mut sending) = self.sender.send_request(request, false).map_err(failed)?;
        sending.send_data(messages, false).map_err(failed)?;
        let response = response.await.map_err(failed)?;
        if response.headers().contains_key("grpc-status") {
            status(response.headers())?;
        }
        Ok(Stream {
            _sending: sending,
            receiving: response.into_body(),
        })
    }
}

/// Whether a call succeeded, by its trailers.
fn status(headers: &HeaderMap) -> Result<(), String> {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    match text("grpc-status").as_str() {
        "0" => Ok(()),
        "" => Err("the answer has no gRPC status".to_owned()),
        code => Err(format!("gRPC status {code}: {}", text("grpc-message"))),
    }
}
