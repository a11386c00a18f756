//! Calls: what is sent again, and what a failure means.
//!
//! It does not guess: a change whose outcome is unknown is reported as such.
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Channel as EtcdChannel, Client as EtcdClient, ConnectOptions, DeleteOptions, DeleteResponse,
    GetOptions, GetResponse, PutOptions, PutResponse, Txn, TxnResponse,
};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;

use crate::config::{Config, Tls};
use crate::endpoint::Endpoint;
use crate::error::ConfigError;
use crate::tls;
use crate::v3::channel::{Channel, Turn, is_without_effect};
use crate::v3::dial::Dialer;
use crate::v3::error::Error;

/// The first pause before something is tried again; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whether a member that knows no leader may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// Such a member is not asked, and watches leave it: what daemons want.
    Required,
    /// It may answer what it can: for those who look at members.
    NotRequired,
}

/// Whether a transaction may be sent again after a try whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Never.
    Once,
    /// It makes its own comparisons fail, so it cannot be carried out twice. If a repetition finds them
    /// failing, the first try may have been the reason: that is [`Error::OutcomeUnknown`].
    Conditional,
    /// It only reads, or carrying it out twice does no harm.
    Harmless,
}

/// A client. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    /// Behind a pointer, since it has some kilobytes.
    etcd: Arc<EtcdClient>,
    channel: Channel,
    request_timeout: Duration,
    total_timeout: Duration,
}

/// What a try gave.
enum Tried<T> {
    Answered(T),
    Refused(Status),
    /// It failed before it could change anything.
    WithoutEffect(String),
    /// It may have changed something.
    Unknown(String),
    Nonsense(String),
}

/// An answer, and whether an earlier try may have been carried out.
struct Answer<T> {
    value: T,
    is_repetition: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client")
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Without credentials nobody is talked to; with them, a server must be there to
    /// take them.
    pub async fn connect(config: Config, leader: Leader) -> Result<Self, Error> {
        if config.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints.into());
        }
        let needs_tls =
            config.endpoints.iter().any(Endpoint::is_secure) || config.tls != Tls::default();
        let tls = needs_tls
            .then(|| tls::connector(&config.tls, Some(b"h2")))
            .transpose()?;
        let dialer = Dialer {
            tls,
            connect_timeout: config.connect_timeout,
        };
        let channel = Channel::new(dialer, config.endpoints);
        let mut options = ConnectOptions::new().with_require_leader(leader == Leader::Required);
        if let Some(credentials) = &config.credentials {
            options = options
                .with_user(&credentials.user, &credentials.password)
                .with_auto_token_refresh(true);
            // To be told clearly, not as a failed login.
            channel
                .ready()
                .await
                .map_err(|attempts| Error::unreachable(&attempts))?;
        }
        let service = EtcdChannel::Custom(BoxCloneSyncService::new(channel.clone()));
        let deadline = Instant::now() + config.total_timeout;
        let etcd = timeout_at(
            deadline,
            Box::pin(EtcdClient::from_channel(service, Some(options))),
        )
        .await
        .map_err(|_| Error::TimedOut(config.total_timeout))?
        .map_err(refusal)?;
        Ok(Self {
            etcd: Arc::new(etcd),
            channel,
            request_timeout: config.request_timeout,
            total_timeout: config.total_timeout,
        })
    }

    /// The whole API, over the same connection. Nothing is repeated there.
    pub fn etcd(&self) -> EtcdClient {
        (*self.etcd).clone()
    }

    /// The endpoints that are asked.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.channel.endpoints()
    }

    /// How long one call may take with all its tries.
    pub(super) fn total_timeout(&self) -> Duration {
        self.total_timeout
    }

    /// Connects unless that is done, and says why it cannot be.
    pub async fn ready(&self) -> Result<(), Error> {
        let ready = self.channel.ready().await;
        ready
            .map(drop)
            .map_err(|attempts| Error::unreachable(&attempts))
    }

    /// Reads keys, linearizably unless the options say otherwise.
    pub async fn get(
        &self,
        key: impl Into<Vec<u8>>,
        options: GetOptions,
    ) -> Result<GetResponse, Error> {
        let key = key.into();
        let ask = |etcd: EtcdClient| {
            let (key, options) = (key.clone(), options.clone());
            // How much comes is limited by what was asked for.
            let mut kv = etcd.kv_client().max_decoding_message_size(usize::MAX);
            async move { kv.get(key, Some(options)).await }
        };
        Ok(self.call(Repeat::Harmless, ask).await?.value)
    }

    /// Writes a key; never sent twice, because another's write may have come between.
    pub async fn put(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        options: PutOptions,
    ) -> Result<PutResponse, Error> {
        let (key, value) = (key.into(), value.into());
        let ask = |mut etcd: EtcdClient| {
            let (key, value, options) = (key.clone(), value.clone(), options.clone());
            async move { etcd.put(key, value, Some(options)).await }
        };
        Ok(self.call(Repeat::Once, ask).await?.value)
    }

    /// Deletes keys; never sent twice, because another's write may have come between.
    pub async fn delete(
        &self,
        key: impl Into<Vec<u8>>,
        options: DeleteOptions,
    ) -> Result<DeleteResponse, Error> {
        let key = key.into();
        let ask = |mut etcd: EtcdClient| {
            let (key, options) = (key.clone(), options.clone());
            async move { etcd.delete(key, Some(options)).await }
        };
        Ok(self.call(Repeat::Once, ask).await?.value)
    }

    /// Carries out a transaction.
    pub async fn txn(&self, txn: Txn, repeat: Repeat) -> Result<TxnResponse, Error> {
        let ask = |etcd: EtcdClient| {
            let txn = txn.clone();
            let mut kv = etcd.kv_client().max_decoding_message_size(usize::MAX);
            async move { kv.txn(txn).await }
        };
        let answer = self.call(repeat, ask).await?;
        let is_ambiguous = answer.is_repetition && repeat == Repeat::Conditional;
        if is_ambiguous && !answer.value.succeeded() {
            let text = "a repetition found the comparisons failing";
            return Err(Error::OutcomeUnknown(text.to_owned()));
        }
        Ok(answer.value)
    }

    /// Asks whatever changes nothing, or nothing more when asked twice.
    pub async fn harmless<T, F>(&self, ask: impl FnMut(EtcdClient) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        Ok(self.call(Repeat::Harmless, ask).await?.value)
    }

    /// Asks whatever must not be sent twice.
    pub async fn once<T, F>(&self, ask: impl FnMut(EtcdClient) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        Ok(self.call(Repeat::Once, ask).await?.value)
    }

    /// Asks one endpoint after the other, as often as is safe, until the time is up.
    async fn call<T, F>(
        &self,
        repeat: Repeat,
        mut ask: impl FnMut(EtcdClient) -> F,
    ) -> Result<Answer<T>, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let last = Instant::now() + self.total_timeout;
        let mut failures: Vec<String> = Vec::new();
        let mut is_repetition = false;
        let mut pause = PAUSE_MIN;
        loop {
            let (tried, turn) = self.attempt(&mut ask, last).await;
            match tried {
                Tried::Answered(value) => {
                    return Ok(Answer {
                        value,
                        is_repetition,
                    });
                }
                Tried::Refused(status) if is_repetition && repeat == Repeat::Conditional => {
                    return Err(Error::OutcomeUnknown(status.message().to_owned()));
                }
                Tried::Refused(status) => return Err(refused(&status)),
                Tried::Nonsense(text) => return Err(Error::InvalidAnswer(text)),
                Tried::WithoutEffect(text) => failures.push(text),
                Tried::Unknown(text) => {
                    failures.push(text);
                    is_repetition = true;
                }
            }
            if let Some(turn) = turn {
                self.channel.turn_away(turn).await;
            }
            let is_over = Instant::now() + pause >= last;
            if is_over || is_repetition && repeat == Repeat::Once {
                return Err(self.give_up(failures, is_repetition && repeat != Repeat::Harmless));
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    async fn attempt<T, F>(
        &self,
        ask: &mut impl FnMut(EtcdClient) -> F,
        last: Instant,
    ) -> (Tried<T>, Option<Turn>)
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let turn = match timeout_at(last, self.channel.ready()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(attempts)) => {
                let text = Error::unreachable(&attempts).to_string();
                return (Tried::WithoutEffect(text), None);
            }
            Err(_) => return (Tried::WithoutEffect("no connection in time".into()), None),
        };
        let until = last.min(Instant::now() + self.request_timeout);
        let tried = match timeout_at(until, Box::pin(ask(self.etcd()))).await {
            Ok(Ok(value)) => Tried::Answered(value),
            Ok(Err(error)) => judge(error),
            Err(_) => Tried::Unknown("an endpoint did not answer in time".to_owned()),
        };
        (tried, Some(turn))
    }

    fn give_up(&self, mut failures: Vec<String>, may_have_effect: bool) -> Error {
        failures.dedup();
        let text = failures.join("; ");
        if may_have_effect {
            Error::OutcomeUnknown(text)
        } else if failures.is_empty() {
            Error::TimedOut(self.total_timeout)
        } else {
            Error::Unavailable(text)
        }
    }

    /// Opens a stream; gives the connection it is on.
    pub(super) async fn open<T>(
        &self,
        open: Pin<Box<impl Future<Output = Result<T, etcd_client::Error>>>>,
    ) -> (Result<T, Failed>, Option<Turn>) {
        let turn = match self.channel.ready().await {
            Ok(turn) => turn,
            Err(attempts) => {
                let text = Error::unreachable(&attempts).to_string();
                return (Err(Failed::Broken(text)), None);
            }
        };
        let until = Instant::now() + self.request_timeout;
        let opened = match timeout_at(until, open).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Failed::of(error)),
            Err(_) => Err(Failed::Broken("an endpoint did not answer in time".into())),
        };
        (opened, Some(turn))
    }

    pub(super) async fn turn_away(&self, turn: Option<Turn>) {
        if let Some(turn) = turn {
            self.channel.turn_away(turn).await;
        }
    }
}

/// Why a stream is of no use.
pub(super) enum Failed {
    /// Another endpoint may do better.
    Broken(String),
    /// None would.
    Final(Error),
}

impl Failed {
    pub(super) fn of(error: etcd_client::Error) -> Self {
        match judge::<()>(error) {
            Tried::WithoutEffect(text) | Tried::Unknown(text) => Self::Broken(text),
            Tried::Nonsense(text) => Self::Final(Error::InvalidAnswer(text)),
            Tried::Refused(status) => Self::Final(refused(&status)),
            Tried::Answered(()) => unreachable!("an error is no answer"),
        }
    }
}

fn refused(status: &Status) -> Error {
    Error::Refused {
        code: status.code(),
        message: status.message().to_owned(),
    }
}

fn judge<T>(error: etcd_client::Error) -> Tried<T> {
    let status = match error {
        etcd_client::Error::GRpcStatus(status) => status,
        other => return Tried::Nonsense(other.to_string()),
    };
    if is_without_effect(&status) {
        return Tried::WithoutEffect(status.message().to_owned());
    }
    match status.code() {
        // Unknown and Internal are what a connection that breaks in the middle looks like.
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::Unknown
        | Code::Internal => Tried::Unknown(status.message().to_owned()),
        _ => Tried::Refused(status),
    }
}

/// What a failure means to somebody who does not try again.
fn refusal(error: etcd_client::Error) -> Error {
    match judge::<()>(error) {
        Tried::Refused(status) => refused(&status),
        Tried::WithoutEffect(text) | Tried::Unknown(text) => Error::Unavailable(text),
        Tried::Nonsense(text) => Error::InvalidAnswer(text),
        Tried::Answered(()) => unreachable!("an error is no answer"),
    }
}
