//! What tests of several modules need: a real etcd, certificates, a small client.
//!
//! Servers listen on loopback, on ports that the kernel gives, and end with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper::{Method, StatusCode};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::outbound::{Answer, Asker};

/// Ports that nobody listened on a moment ago.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let sockets = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// Asks without TLS, and not for long.
pub(crate) fn asker() -> Asker {
    Asker {
        tls: None,
        timeout: Duration::from_secs(10),
        http_proxy: None,
    }
}

/// Puts a key over etcd's API.
pub(crate) async fn put(url: &str, key: &str, value: &str) -> Answer {
    let url = format!("{url}/v2/keys{key}");
    let form = Some(format!("value={value}"));
    asker().ask(Method::PUT, &url, form).await.unwrap()
}

/// A real etcd, alone in its cluster.
pub(crate) struct Etcd {
    child: Child,
    folder: tempfile::TempDir,
    client_port: u16,
    peer_port: u16,
}

impl Etcd {
    /// Starts it and waits until it takes writes.
    pub(crate) async fn start() -> Self {
        let [client_port, peer_port] = free_ports();
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), client_port, peer_port);
        let etcd = Self {
            child,
            folder,
            client_port,
            peer_port,
        };
        etcd.wait().await;
        etcd
    }

    async fn wait(&self) {
        let url = format!("{}/health", self.client_url());
        let mut answers = 0;
        while answers < 300 {
            let healthy = asker().ask(Method::GET, &url, None).await;
            if healthy.is_ok_and(|answer| answer.status == StatusCode::OK) {
                return;
            }
            answers += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log"));
        panic!("etcd does not come up: {}", log.unwrap_or_default());
    }

    pub(crate) fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    pub(crate) fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with its data.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.folder.path(), self.client_port, self.peer_port);
        self.wait().await;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(folder: &Path, client_port: u16, peer_port: u16) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    Command::new("etcd")
        .arg("--enable-v2=true")
        .arg(format!("--data-dir={}", folder.join("data").display()))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("etcd starts; .ci/setup installs it")
}

/// A CA that signs for tests.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// Writes its certificate to `NAME.ca.pem`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = folder.to_owned();
        std::fs::write(folder.join(format!("{name}.ca.pem")), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes `FILE.pem` and `FILE.key`, for a subject on loopback.
    pub(crate) fn sign(&self, file: &str, common_name: &str, serial: u64) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |kind: &str| self.folder.join(format!("{file}.{kind}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
    }

    /// Writes `FILE.crl`, which revokes one serial number.
    pub(crate) fn revoke(&self, file: &str, serial: u64) {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        std::fs::write(self.folder.join(format!("{file}.crl")), list.pem().unwrap()).unwrap();
    }
}
