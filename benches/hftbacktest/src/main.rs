//! The parity strategy on the published `hftbacktest` crate: how many rows of the feed it replays in a second of CPU
//! time, and whether it makes the fills that the feed's authors expect.
//!
//! `prepare` turns the feed into the crate's own event arrays once; `run` replays one combination and prints a line;
//! `all` runs each combination in processes of its own (peak memory is a property of a process) and prints medians; `grid`
//! loops over many rules, as a tuning session does.

mod prepare;
mod strategy;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Level-2 books that the crate offers.
const DEPTHS: [&str; 3] = ["hashmap", "btree", "roivector"];
/// Venue A as it comes (a clear and 40 snapshot rows a message), or as the differences to the message before.
const FORMS: [&str; 2] = ["snapshot", "diff"];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["prepare", parity, out] => prepare::prepare(Path::new(parity), Path::new(out)),
        ["run", data, depth, form] => {
            let run = strategy::run(Path::new(data), depth, form)?;
            println!("{}", run.to_line());
            Ok(())
        }
        ["grid", data, count] => strategy::grid(Path::new(data), count.parse().context("the number of rules")?),
        ["all", data, runs] => all(data, runs.parse().context("the number of runs")?),
        _ => bail!(
            "usage: prepare PARITY_DIR DATA_DIR | run DATA_DIR hashmap|btree|roivector snapshot|diff | \
             all DATA_DIR RUNS | grid DATA_DIR RULES"
        ),
    }
}

/// Runs every combination `runs` times, interleaved so that a busy minute of the machine hits all alike.
fn all(data: &str, runs: usize) -> Result<()> {
    let program = std::env::current_exe()?;
    let combinations: Vec<(&str, &str)> = DEPTHS
        .iter()
        .flat_map(|&depth| FORMS.iter().map(move |&form| (depth, form)))
        .collect();
    let mut results: Vec<Vec<strategy::Run>> = vec![Vec::new(); combinations.len()];
    for _ in 0..runs {
        for (&(depth, form), results) in combinations.iter().zip(&mut results) {
            let output = Command::new(&program).args(["run", data, depth, form]).output()?;
            if !output.status.success() {
                bail!("{depth} {form}: {}", String::from_utf8_lossy(&output.stderr));
            }
            results.push(strategy::Run::from_line(String::from_utf8(output.stdout)?.trim())?);
        }
    }
    println!(
        "| book | venue A | rows | events | CPU s (min .. max) | rows per CPU s | peak memory MB | fills | PnL KRW |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for ((depth, form), mut results) in combinations.into_iter().zip(results) {
        results.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
        let (Some(first), Some(last)) = (results.first(), results.last()) else {
            continue;
        };
        let median = &results[results.len() / 2];
        println!(
            "| {depth} | {form} | {} | {} | {:.4} ({:.4} .. {:.4}) | {:.2} M | {:.0} | {} | {:.2} |",
            median.rows,
            median.events,
            median.cpu_seconds,
            first.cpu_seconds,
            last.cpu_seconds,
            median.rows as f64 / median.cpu_seconds / 1e6,
            median.peak_kb as f64 / 1024.0,
            median.fills,
            median.pnl,
        );
    }
    Ok(())
}
