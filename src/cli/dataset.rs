//! `crossbook dataset …`: one file per subcommand, named after it.

mod validate;

use super::{Common, Fault, Outcome};
use crate::dataset::DatasetError;

/// Arguments of `crossbook dataset`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Checks datasets from the first byte to the last; exit code 1 when one is broken.
    Validate(validate::Args),
}

/// Runs the chosen subcommand.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Validate(args) => validate::run(common, args),
    }
}

/// The command's error for a dataset's: what the system refused is a fault outside, all else is bad input.
pub(crate) fn failed(error: DatasetError) -> anyhow::Error {
    match error.outside() {
        Some(source) => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            let what = match &error {
                DatasetError::Io { action, path, .. } => format!("{action} {}", path.display()),
                other => other.to_string(),
            };
            Fault::Outside { what, source }.into()
        }
        None => error.into(),
    }
}
