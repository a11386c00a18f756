//! `txn`: a transaction read from standard input, in etcdctl's words.
//!
//! Three parts, each ended by an empty line: comparisons, requests if all hold, requests otherwise.
use std::io::BufRead;

use clap::Parser;
use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnOpResponse, TxnResponse};
use kv_client::v3::Repeat;
use serde::Serialize;

use crate::print;
use crate::v3::arguments::{DelArguments, GetArguments, Global, PutArguments, TxnArguments};
use crate::v3::failure::{Failure, exit_status};
use crate::v3::keys::{self, Deleted, Put, Range, lease_id};
use crate::v3::message::{Header, header_fields, is_zero};
use crate::v3::output::{Report, Style, Text, show};
use crate::v3::quote::{quote, unquote, words};
use crate::v3::session;

/// What came of a transaction.
#[derive(Debug, Serialize)]
struct Transaction {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "is_zero")]
    succeeded: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    responses: Vec<Answer>,
}

/// What came of one of its requests.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(rename = "Response")]
    response: Response,
}

#[derive(Debug, Serialize)]
enum Response {
    #[serde(rename = "ResponsePut")]
    Put(Put),
    #[serde(rename = "ResponseRange")]
    Range(Range),
    #[serde(rename = "ResponseDeleteRange")]
    Deleted(Deleted),
    #[serde(rename = "ResponseTxn")]
    Transaction(Transaction),
}

impl From<&TxnResponse> for Transaction {
    fn from(response: &TxnResponse) -> Self {
        let responses = response.op_responses().into_iter().map(|one| Answer {
            response: match one {
                TxnOpResponse::Put(put) => Response::Put((&put).into()),
                TxnOpResponse::Get(range) => Response::Range((&range).into()),
                TxnOpResponse::Delete(deleted) => Response::Deleted((&deleted).into()),
                TxnOpResponse::Txn(txn) => Response::Transaction((&txn).into()),
            },
        });
        Self {
            header: Header::of(response.header()),
            succeeded: response.succeeded(),
            responses: responses.collect(),
        }
    }
}

impl Report for Transaction {
    fn simple(&self, style: Style, text: &mut Text) {
        text.line(if self.succeeded { "SUCCESS" } else { "FAILURE" });
        for answer in &self.responses {
            text.line("");
            match &answer.response {
                Response::Put(put) => put.simple(style, text),
                Response::Range(range) => range.simple(style, text),
                Response::Deleted(deleted) => deleted.simple(style, text),
                Response::Transaction(transaction) => transaction.simple(style, text),
            }
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        text.line(format!("\"Succeeded\" : {}", self.succeeded));
        self.responses.iter().all(|answer| match &answer.response {
            Response::Put(put) => put.fields(text),
            Response::Range(range) => range.fields(text),
            Response::Deleted(deleted) => deleted.fields(text),
            Response::Transaction(transaction) => transaction.fields(text),
        })
    }
}

/// A request of a transaction, with the flags it has outside.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
enum Request {
    Get(GetArguments),
    Put(PutArguments),
    Del(DelArguments),
}

fn invalid(text: String) -> Failure {
    Failure::new(exit_status::INVALID_INPUT, text)
}

/// Reads `mod("key") > "0"`.
fn compare(line: &str) -> Result<Compare, Failure> {
    let malformed = || invalid(format!("malformed comparison: {line}"));
    let (target, rest) = line.split_once('(').ok_or_else(malformed)?;
    let (key, rest) = unquote(rest.trim_start()).ok_or_else(malformed)?;
    let rest = rest.strip_prefix(')').ok_or_else(malformed)?.trim_start();
    let (symbol, rest) = rest.split_once(' ').ok_or_else(malformed)?;
    let value = unquote(rest.trim_start()).map(|(value, _)| value);
    let value = value.ok_or_else(|| {
        let key = quote(&key);
        invalid(format!(
            "malformed comparison: {line}; got {target}({key}) {symbol} \"\""
        ))
    })?;
    let operation = match symbol {
        "=" => CompareOp::Equal,
        "!=" => CompareOp::NotEqual,
        "<" => CompareOp::Less,
        ">" => CompareOp::Greater,
        _ => {
            return Err(invalid(format!(
                "malformed comparison: {line} (unknown operator {symbol})"
            )));
        }
    };
    let bad_number = || invalid(format!("invalid txn compare request: {line}"));
    let text = || std::str::from_utf8(&value).map_err(|_| bad_number());
    let number = || text()?.parse::<i64>().map_err(|_| bad_number());
    Ok(match target {
        "ver" | "version" => Compare::version(key, operation, number()?),
        "c" | "create" => Compare::create_revision(key, operation, number()?),
        "m" | "mod" => Compare::mod_revision(key, operation, number()?),
        "val" | "value" => Compare::value(key, operation, value),
        "lease" => {
            let id = lease_id(text()?).map_err(|_| bad_number())?;
            Compare::lease(key, operation, id)
        }
        _ => {
            return Err(invalid(format!(
                "malformed comparison: {line} (unknown target {target})"
            )));
        }
    })
}

/// Reads `put key value` and the like.
fn request(line: &str) -> Result<TxnOp, Failure> {
    let bad = || invalid(format!("invalid txn request: {line}"));
    let words = words(line).ok_or_else(bad)?;
    let words: Result<Vec<String>, _> = words.into_iter().map(String::from_utf8).collect();
    // Flags and the names of commands are text; whoever needs other bytes has programs for it.
    let parsed = Request::try_parse_from(words.map_err(|_| bad())?).map_err(|_| bad())?;
    Ok(match parsed {
        Request::Get(wanted) => {
            let (key, options) = keys::range(&wanted)?;
            TxnOp::get(key, Some(options))
        }
        Request::Put(wanted) => {
            let (key, value, options) = keys::write(&wanted, || Err(keys::needs_a_value()))?;
            TxnOp::put(key, value, Some(options))
        }
        Request::Del(wanted) => {
            let (key, options) = keys::deletion(&wanted)?;
            TxnOp::delete(key, Some(options))
        }
    })
}

/// Reads lines up to an empty one.
fn part<T>(
    input: &mut dyn BufRead,
    read: impl Fn(&str) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut found = Vec::new();
    loop {
        let mut line = String::new();
        let bytes = input.read_line(&mut line);
        let bytes =
            bytes.map_err(|error| invalid(format!("cannot read the transaction: {error}")))?;
        if bytes == 0 {
            return Err(invalid("EOF: each part ends with an empty line".to_owned()));
        }
        let line = line.trim();
        if line.is_empty() {
            return Ok(found);
        }
        found.push(read(line)?);
    }
}

fn read(input: &mut dyn BufRead, interactive: bool) -> Result<Txn, Failure> {
    let prompt = |text: &str| {
        if interactive {
            print::line(text)?;
        }
        Ok::<_, Failure>(())
    };
    prompt("compares:")?;
    let compares = part(input, compare)?;
    prompt("success requests (get, put, del):")?;
    let then = part(input, request)?;
    prompt("failure requests (get, put, del):")?;
    let otherwise = part(input, request)?;
    Ok(Txn::new().when(compares).and_then(then).or_else(otherwise))
}

pub(crate) async fn run(
    global: &Global,
    style: Style,
    wanted: &TxnArguments,
) -> Result<(), Failure> {
    if !wanted.ignored.is_empty() {
        return Err(Failure::arguments("txn command does not accept argument"));
    }
    let txn = read(&mut std::io::stdin().lock(), wanted.mode.interactive)?;
    let client = session::open(global).await?;
    let response = client.txn(txn, Repeat::Once).await?;
    show(&Transaction::from(&response), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_read() {
        let text = "mod(\"a b\") > \"0\"\nval(\"c\") = \"x\"\nlease(\"c\") != \"1f\"\n\n\
            put \"a b\" \"1\\n2\" --prev-kv\nget a --prefix\n\ndel a z\n\n";
        read(&mut text.as_bytes(), false).expect("a transaction");
    }

    #[test]
    fn what_is_no_transaction_is_refused() {
        for (text, said) in [
            ("foo\n", "malformed comparison: foo"),
            (
                "mod(\"a\") > 0\n",
                "malformed comparison: mod(\"a\") > 0; got mod(\"a\") > \"\"",
            ),
            (
                "ver(\"a\") < \"x\"\n",
                "invalid txn compare request: ver(\"a\") < \"x\"",
            ),
            (
                "bad(\"a\") < \"1\"\n",
                "malformed comparison: bad(\"a\") < \"1\" (unknown target bad)",
            ),
            ("\nfoo a 1\n", "invalid txn request: foo a 1"),
            (
                "\nput a\n",
                "put command needs 1 argument and input from stdin or 2 arguments",
            ),
            ("\nget a --bogus\n", "invalid txn request: get a --bogus"),
            ("\n\n", "EOF: each part ends with an empty line"),
        ] {
            let failure = read(&mut text.as_bytes(), false).expect_err(text);
            assert_eq!(failure.text, said);
        }
    }
}
