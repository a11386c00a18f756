//! Load on etcd's v3 API: puts, ranges and transactions by gRPC.
//!
//! Each client has a connection of its own with one request under way. Requests are encoded once and
//! changed in place; of answers only the status is read. The same for every server.
mod watch;
mod wire;

use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use etcd_v3::frame;
use etcd_v3::proto::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, compare, request_op,
};
use kv_client::Endpoint;
use tokio::task::JoinSet;

use super::load::{PAUSE, Plan, Shared, plan, wait_for};
use super::report::{LoadReport, own_cpu};
use super::{Limit, Target};
use crate::arguments::{BenchArguments, BenchKind};
use crate::failure::Failure;

pub(super) use watch::run as watch;
use wire::Wire;

/// Digits of a key's name.
const KEY_DIGITS: usize = 8;

/// A call of one kind, with the places of the key's digits in its message.
struct Template {
    path: &'static str,
    message: BytesMut,
    digits: Vec<usize>,
}

pub(super) async fn run(
    target: &Target,
    wanted: &BenchArguments,
    limit: Limit,
) -> Result<LoadReport, Failure> {
    let wanted_plan = plan(wanted);
    if wanted.kind != BenchKind::GrpcPut && !wanted.prepared {
        write_all_keys(target, wanted_plan).await?;
    }
    let cpu_before = own_cpu();
    let begun = Instant::now();
    let shared = drive(target, wanted_plan, limit).await?;
    let kind = match wanted.kind {
        BenchKind::GrpcRange => "grpc-range",
        BenchKind::GrpcTxn => "grpc-txn",
        _ => "grpc-put",
    };
    Ok(shared.report(kind, target, wanted_plan, begun, cpu_before))
}

/// Ranges and transactions shall find something.
async fn write_all_keys(target: &Target, plan: Plan) -> Result<(), Failure> {
    let writes = Plan {
        kind: BenchKind::GrpcPut,
        connections: plan.keys.min(64),
        sequential: true,
        ..plan
    };
    let shared = drive(target, writes, Limit::Requests(plan.keys.into())).await?;
    shared.require_success("cannot write the keys to read")
}

async fn drive(target: &Target, plan: Plan, limit: Limit) -> Result<Rc<Shared>, Failure> {
    // All connect before the first request, so that connecting is not measured.
    let mut wires = Vec::new();
    for number in 0..plan.connections {
        wires.push(connect(target, number).await?);
    }
    let shared = Rc::new(Shared::new(limit)?);
    let mut tasks = JoinSet::new();
    for (number, wire) in (0..).zip(wires) {
        let endpoint = target.endpoint(number).clone();
        let template = Template::new(&target.directory, plan);
        tasks.spawn_local(send_all(wire, endpoint, template, plan, Rc::clone(&shared)));
    }
    wait_for(&mut tasks, limit, &shared).await;
    Ok(shared)
}

async fn connect(target: &Target, number: u32) -> Result<Wire, Failure> {
    let endpoint = target.endpoint(number);
    let connected = Wire::connect(endpoint).await;
    connected.map_err(|reason| Failure::Plain(format!("{endpoint}: {reason}")))
}

async fn send_all(
    mut wire: Wire,
    endpoint: Endpoint,
    mut template: Template,
    plan: Plan,
    shared: Rc<Shared>,
) {
    while let Some(begun) = shared.begin() {
        let message = template.with_key(shared.pick(plan));
        match wire.call(template.path, message).await {
            Ok(()) => shared.succeed(begun),
            Err(reason) => {
                shared.fail(format!("{endpoint}: {reason}"));
                tokio::time::sleep(PAUSE).await;
                match Wire::connect(&endpoint).await {
                    Ok(again) => wire = again,
                    Err(reason) => shared.fail(format!("{endpoint}: {reason}")),
                }
            }
        }
    }
}

impl Template {
    fn new(directory: &str, plan: Plan) -> Self {
        let prefix = format!("{directory}/");
        let key = Bytes::from(format!("{prefix}{}", "0".repeat(KEY_DIGITS)));
        let value_bytes = usize::try_from(plan.value_bytes).unwrap_or_default();
        let put = PutRequest {
            key: key.clone(),
            value: vec![b'x'; value_bytes].into(),
            ..PutRequest::default()
        };
        let (path, message) = match plan.kind {
            BenchKind::GrpcRange => {
                let range = RangeRequest {
                    key: key.clone(),
                    serializable: !plan.quorum,
                    ..RangeRequest::default()
                };
                ("/etcdserverpb.KV/Range", frame::write(&range))
            }
            BenchKind::GrpcTxn => ("/etcdserverpb.KV/Txn", frame::write(&transaction(put))),
            _ => ("/etcdserverpb.KV/Put", frame::write(&put)),
        };
        let starts = message.windows(key.len()).enumerate();
        let starts = starts.filter(|(_, bytes)| *bytes == key);
        let digits = starts.map(|(start, _)| start + prefix.len()).collect();
        Self {
            path,
            message: BytesMut::from(message),
            digits,
        }
    }

    /// The message for one key.
    fn with_key(&mut self, key: u32) -> Bytes {
        let digits = format!("{key:0KEY_DIGITS$}");
        let mut message = self.message.clone();
        for start in &self.digits {
            message[*start..*start + KEY_DIGITS].copy_from_slice(digits.as_bytes());
        }
        message.freeze()
    }
}

/// A put if the key is there, as programs do it that must not create anew.
fn transaction(put: PutRequest) -> TxnRequest {
    let exists = Compare {
        key: put.key.clone(),
        result: compare::CompareResult::Greater.into(),
        target: compare::CompareTarget::Create.into(),
        target_union: Some(compare::TargetUnion::CreateRevision(0)),
        ..Compare::default()
    };
    TxnRequest {
        compare: vec![exists],
        success: vec![RequestOp {
            request: Some(request_op::Request::RequestPut(put)),
        }],
        failure: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use etcd_v3::frame::read_single;

    use super::*;

    #[test]
    fn messages_are_what_they_seem() {
        let plan = Plan {
            kind: BenchKind::GrpcTxn,
            connections: 1,
            value_bytes: 3,
            keys: 10,
            quorum: false,
            sequential: true,
        };
        let mut template = Template::new("/b", plan);
        let message = template.with_key(1_234);
        let read: TxnRequest = read_single(message, 1 << 20).expect("a transaction");
        let key = Bytes::from_static(b"/b/00001234");
        assert_eq!(read.compare[0].key, key);
        let Some(request_op::Request::RequestPut(put)) = &read.success[0].request else {
            panic!("no put: {read:?}");
        };
        assert_eq!((put.key.clone(), put.value.as_ref()), (key, &b"xxx"[..]));
    }
}
