//! `keelson build`: builds an image or explains what a build would do.

use std::process::ExitCode;

use image_build::build;
use image_build::cache::Event;
use image_build::output::BuiltImage;

use crate::cli::BuildArguments;
use crate::commands::build_options;
use crate::terminal_report::TerminalReport;

/// Runs the command.
pub(crate) fn run(arguments: &BuildArguments) -> anyhow::Result<ExitCode> {
    if arguments.explain {
        return explain(arguments);
    }
    let image = build_image(arguments)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&image.manifest)?);
    } else {
        let manifest = &image.manifest;
        eprintln!(
            "\nKeelson {} for {}: {}",
            manifest.version,
            manifest.product,
            manifest.disk.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds and reports on the terminal.
pub(crate) fn build_image(arguments: &BuildArguments) -> anyhow::Result<BuiltImage> {
    let terminal = TerminalReport::new(false);
    let report = |event: Event<'_>| terminal.event(&event);
    Ok(build::build(&build_options(arguments)?, &report)?)
}

fn explain(arguments: &BuildArguments) -> anyhow::Result<ExitCode> {
    let terminal = TerminalReport::new(arguments.json);
    let report = |event: Event<'_>| terminal.event(&event);
    build::explain(&build_options(arguments)?, &report)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&terminal.explained())?);
    }
    Ok(ExitCode::SUCCESS)
}
