//! `crossbook dataset …`

use super::{Common, Outcome};

/// Arguments of `crossbook dataset`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {}

/// Runs the chosen subcommand.
pub fn run(_common: &Common, args: Args) -> anyhow::Result<Outcome> {
    match args.command {}
}
