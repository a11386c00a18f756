//! The face for clients as clients see it: text goes in, text comes out, on a store of one member.
//!
//! Byte-for-byte equality with etcd is tested elsewhere, against the real one.
mod client;
mod double;
mod keys;
mod replica;
mod server;
mod users;
mod watching;

use std::sync::Arc;

use client::Client;
use double::Double;

use super::{HttpOptions, PeerIdentity, ServerState, serve_connection};

/// A server without a socket.
struct Fixture {
    double: Arc<Double>,
    state: Arc<ServerState>,
}

impl Fixture {
    fn new() -> Self {
        Self::with_options(HttpOptions::default())
    }

    fn with_options(options: HttpOptions) -> Self {
        let double = Arc::new(Double::new());
        let backend: Arc<Double> = Arc::clone(&double);
        let state = ServerState::with_backend(backend, options);
        Self { double, state }
    }

    fn client(&self) -> Client {
        self.client_with_certificate(None)
    }

    fn client_with_certificate(&self, common_name: Option<&str>) -> Client {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let peer = PeerIdentity {
            common_name: common_name.map(str::to_owned),
            address: None,
            is_tls: common_name.is_some(),
        };
        tokio::spawn(serve_connection(far, peer, Arc::clone(&self.state)));
        Client::new(near)
    }

    /// Waits until so many clients watch.
    async fn until_watchers(&self, count: usize) {
        while self.state.watchers() != count {
            tokio::task::yield_now().await;
        }
    }
}
