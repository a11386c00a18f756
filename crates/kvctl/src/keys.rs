//! The commands that read and change keys and directories.
//!
//! One request each, and none of them waits for changes.
use std::io::Read;
use std::process::ExitCode;

use kv_client::{Answer, Client, ReadOptions, Write};

use crate::arguments::{Global, KeyCommand, Output};
use crate::failure::{Failure, exit_status};
use crate::{print, session};

pub(crate) async fn run(global: &Global, command: &KeyCommand) -> Result<ExitCode, Failure> {
    let client = session::open(global).await?;
    let output = global.output();
    match command {
        KeyCommand::Get { key, sort, quorum } => {
            let options = ReadOptions {
                recursive: false,
                sorted: *sort,
                quorum: *quorum,
            };
            return get(&client, required(key.as_ref())?, options, output).await;
        }
        KeyCommand::Ls {
            key,
            sort,
            recursive,
            slash,
            quorum,
        } => {
            let options = ReadOptions {
                recursive: *recursive,
                sorted: *sort,
                quorum: *quorum,
            };
            let answer = client.get(key.as_deref().unwrap_or("/"), options).await?;
            print::listing(&answer, *slash, output)?;
        }
        KeyCommand::Rm { .. } => {
            let answer = client.write(&write(command)?).await?;
            print_unless_directory(&answer, output)?;
        }
        KeyCommand::Mkdir { .. }
        | KeyCommand::Setdir { .. }
        | KeyCommand::Updatedir { .. }
        | KeyCommand::Rmdir { .. } => {
            let answer = client.write(&write(command)?).await?;
            if output != Output::Simple {
                print::answer(&answer, output)?;
            }
        }
        KeyCommand::Set { .. } | KeyCommand::Mk { .. } | KeyCommand::Update { .. } => {
            let answer = client.write(&write(command)?).await?;
            print::answer(&answer, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(
    client: &Client,
    key: &str,
    options: ReadOptions,
    output: Output,
) -> Result<ExitCode, Failure> {
    let answer = client.get(key, options).await?;
    if answer.node.dir {
        eprintln!("{}: is a directory", answer.node.key);
        return Ok(ExitCode::from(exit_status::ERROR));
    }
    print::answer(&answer, output)?;
    Ok(ExitCode::SUCCESS)
}

fn print_unless_directory(answer: &Answer, output: Output) -> Result<(), Failure> {
    if answer.node.dir && output == Output::Simple {
        return Ok(());
    }
    print::answer(answer, output)
}

/// What a command that changes something asks for.
fn write(command: &KeyCommand) -> Result<Write, Failure> {
    Ok(match command {
        KeyCommand::Set {
            key,
            value,
            ttl,
            swap_with_value,
            swap_with_index,
            ignored: _,
        } => {
            let write = Write::set(required(key.as_ref())?, &value_or_stdin(value.as_ref())?);
            let write = with_ttl(write, *ttl).if_index(*swap_with_index);
            with_value(write, swap_with_value)
        }
        KeyCommand::Mk {
            key,
            value,
            in_order,
            ttl,
        } => {
            let key = required(key.as_ref())?;
            let value = value_or_stdin(value.as_ref())?;
            let write = if *in_order {
                Write::create_in_order(key, &value)
            } else {
                Write::create(key, &value)
            };
            with_ttl(write, *ttl)
        }
        KeyCommand::Update { key, value, ttl } => {
            let write = Write::update(required(key.as_ref())?, &value_or_stdin(value.as_ref())?);
            with_ttl(write, *ttl)
        }
        KeyCommand::Mkdir { key, ttl } => {
            with_ttl(Write::make_directory(required(key.as_ref())?), *ttl)
        }
        KeyCommand::Setdir { key, ttl } => {
            with_ttl(Write::set_directory(required(key.as_ref())?), *ttl)
        }
        KeyCommand::Updatedir { key, ttl, .. } => {
            with_ttl(Write::update_directory(required(key.as_ref())?), *ttl)
        }
        KeyCommand::Rmdir { key } => Write::delete(required(key.as_ref())?).directory(),
        KeyCommand::Rm {
            key,
            dir,
            recursive,
            with_value: value,
            with_index,
        } => {
            let mut write = Write::delete(required(key.as_ref())?).if_index(*with_index);
            if *dir {
                write = write.directory();
            }
            if *recursive {
                write = write.recursive();
            }
            with_value(write, value)
        }
        KeyCommand::Get { .. } | KeyCommand::Ls { .. } => {
            unreachable!("these change nothing")
        }
    })
}

fn with_ttl(write: Write, ttl_seconds: u64) -> Write {
    if ttl_seconds == 0 {
        write
    } else {
        write.ttl_seconds(ttl_seconds)
    }
}

fn with_value(write: Write, value: &str) -> Write {
    if value.is_empty() {
        write
    } else {
        write.if_value(value)
    }
}

pub(crate) fn required(key: Option<&String>) -> Result<&str, Failure> {
    key.map(String::as_str)
        .ok_or(Failure::Arguments("key required"))
}

fn value_or_stdin(value: Option<&String>) -> Result<String, Failure> {
    if let Some(value) = value {
        return Ok(value.clone());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    match read {
        Ok(length) if length > 0 => Ok(text),
        Ok(_) => Err(Failure::Arguments("value required")),
        Err(error) => Err(Failure::Plain(format!("cannot read the value: {error}"))),
    }
}
