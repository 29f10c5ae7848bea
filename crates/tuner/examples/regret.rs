//! How near samplers come to the best value of problems that have a known one, as a table:
//! `regret [--others] [--trials 100] [--seeds 40] [--batch 1] SAMPLER...`

#[path = "../tests/problems/mod.rs"]
mod problems;

use std::process::ExitCode;

use crossbook_tuner::sampler::SamplerConfig;

const USAGE: &str = "usage: regret [--others] [--trials 100] [--seeds 40] [--batch 1] SAMPLER...";

fn main() -> ExitCode {
    match table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

fn table() -> Result<(), String> {
    let (mut set, mut trials, mut seeds, mut batch) = (problems::seven(), 100, 40, 1);
    let mut samplers = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            args.next()
                .and_then(|text| text.parse().ok())
                .filter(|n| *n > 0)
                .ok_or(USAGE)
        };
        match arg.as_str() {
            "--others" => set = problems::others(),
            "--trials" => trials = number()?,
            "--seeds" => seeds = number()?,
            "--batch" => batch = number()?,
            name => samplers.push(SamplerConfig::by_name(name).map_err(|error| format!("{error}\n{USAGE}"))?),
        }
    }
    if samplers.is_empty() {
        return Err(USAGE.to_owned());
    }
    println!("Median simple regret after {trials} trials, {seeds} seeds, batches of {batch}\n");
    let names: Vec<&str> = set.iter().map(|problem| problem.name).collect();
    println!(
        "| sampler | {} |\n| ---{} |",
        names.join(" | "),
        " | ---".repeat(names.len())
    );
    for sampler in &samplers {
        let cells = set.iter().map(|problem| {
            let median = problem.median_regret(sampler, seeds as u64, trials, batch);
            median.map_or("-".to_owned(), digits)
        });
        println!("| {} | {} |", sampler.name(), cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}

/// Three significant digits, without an exponent where that is short.
fn digits(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e5).contains(&x.abs()) {
        return format!("{x:.2e}");
    }
    let decimals = 2 - x.abs().max(1e-9).log10().floor() as i32;
    format!("{x:.*}", if x == 0.0 { 0 } else { decimals.max(0) as usize })
}
