//! Members that talk TLS, and ask each other for certificates.
use std::sync::Arc;

use kv_cluster::{PeerTls, Settings, Start};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::harness::{Cluster, Site, eventually, latest, put};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        Self { issuer }
    }

    fn tls(&self) -> PeerTls {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots)).build();
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(verifier.expect("a verifier"))
            .with_single_cert(chain.clone(), private())
            .expect("a server");
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private())
            .expect("a client");
        client.alpn_protocols = vec![b"h2".to_vec()];
        let (server, client) = (Arc::new(server), Arc::new(client));
        PeerTls {
            server: Arc::new(move || Arc::clone(&server)),
            client: Arc::new(move || Arc::clone(&client)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_talk_tls_and_strangers_are_not_heard() {
    let authority = Authority::new();
    let mut cluster = Cluster::form_tls(3, |settings: &mut Settings| {
        settings.peer_tls = Some(authority.tls());
    })
    .await;
    put(cluster.member(1), "/a", "1").await.expect("written");
    for member in cluster.running() {
        assert_eq!(latest(member, "/a").await.as_deref(), Some("1"));
    }
    // One with a certificate of another authority is announced, but cannot come in.
    let mut stranger = Site::new("stranger", &cluster.cuts).encrypted();
    let added = cluster
        .member(0)
        .add_member(String::new(), vec![stranger.url()])
        .await;
    added.expect("announced");
    let peers = cluster.sites.iter().map(Site::url).collect();
    let mut settings = stranger.settings(Start::JoinExisting { peers });
    settings.peer_tls = Some(Authority::new().tls());
    let joining = kv_cluster::Replica::start(settings);
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(3), joining).await;
    assert!(waiting.is_err(), "{waiting:?}");
    // Certificates are asked for anew: a member that restarts has another one.
    cluster.stop(2).await;
    let member = cluster.sites[2].restart_with(|settings| {
        settings.peer_tls = Some(authority.tls());
    });
    let member = member.await.expect("it restarts");
    put(cluster.member(0), "/a", "2").await.expect("written");
    eventually("it follows", || {
        (crate::harness::local(&member, "/a").as_deref() == Some("2")).then_some(())
    })
    .await;
}
