//! `crossbook dataset validate`

use super::failed;
use crate::cli::{Common, Outcome};
use crate::dataset::DatasetError;
use crate::dataset::reader::{Dataset, ReadOptions};

/// Arguments of `crossbook dataset validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of datasets, or their names under the data root.
    #[arg(required = true, value_name = "DIR")]
    datasets: Vec<String>,
}

/// Reads each dataset through and says what breaks.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    for name in &args.datasets {
        match read_through(common, name) {
            Ok(_) if common.quiet => {}
            Ok(events) => println!("{name}: {events} events"),
            Err(error) if error.outside().is_some() || matches!(error, DatasetError::Unknown { .. }) => {
                return Err(failed(error));
            }
            Err(error) => {
                eprintln!("{error}");
                outcome = Outcome::No;
            }
        }
    }
    Ok(outcome)
}

fn read_through(common: &Common, name: &str) -> Result<u64, DatasetError> {
    let dataset = Dataset::resolve(name, common.data_root.as_deref())?;
    let mut chunks = dataset.chunks(ReadOptions::default());
    chunks.by_ref().try_for_each(|chunk| chunk.map(drop))?;
    Ok(chunks.stats().events)
}
