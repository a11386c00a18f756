//! How a server is reached: a socket, TCP, TLS, or whatever a program has for it.
//!
//! It speaks no HTTP.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::endpoint::Endpoint;
use super::tls::{Tls, TlsError, connector};

/// Two ways, for bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens one more stream to the server.
type Open = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> + Send + Sync,
>;

/// A way to a server.
#[derive(Clone)]
pub struct Connector {
    name: String,
    host: String,
    open: Open,
}

impl Connector {
    /// To an endpoint. The TLS files count for `https` only.
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn new(endpoint: &Endpoint, tls: &Tls) -> Result<Self, TlsError> {
        let name = endpoint.to_string();
        match endpoint.clone() {
            Endpoint::Unix(path) => Ok(Self::custom(name, move || {
                let path = path.clone();
                async move { open_unix(&path).await }
            })),
            Endpoint::Tcp { host, port, secure } => {
                let tls = secure.then(|| connector(tls)).transpose()?;
                let authority = name
                    .split_once("://")
                    .map_or("", |(_, rest)| rest)
                    .to_owned();
                let mut made = Self::custom(name, move || {
                    let (host, tls) = (host.clone(), tls.clone());
                    async move { open_tcp(&host, port, tls).await }
                });
                made.host = authority;
                Ok(made)
            }
        }
    }

    /// Through whatever opens a stream; `name` is what errors say.
    pub fn custom<F, W>(name: impl Into<String>, open: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = io::Result<Box<dyn Stream>>> + Send + 'static,
    {
        Self {
            name: name.into(),
            host: "fleet".to_owned(),
            open: Arc::new(move || Box::pin(open())),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// For HTTP's `Host`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        (self.open)().await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.name).finish()
    }
}

async fn open_unix(path: &Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(UnixStream::connect(path).await?))
}

async fn open_tcp(host: &str, port: u16, tls: Option<TlsConnector>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((host, port)).await?;
    // Requests are small and waited for.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(Box::new(tls.connect(name, stream).await?))
}
