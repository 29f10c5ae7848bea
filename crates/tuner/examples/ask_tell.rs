//! Serves the ask/tell protocol on standard input and output: `ask_tell --sampler NAME`.

use std::io::{BufWriter, stdin, stdout};
use std::process::ExitCode;

use crossbook_tuner::protocol;
use crossbook_tuner::sampler::SamplerConfig;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = match args.as_slice() {
        [flag, name] if flag == "--sampler" => name,
        _ => {
            eprintln!("usage: ask_tell --sampler {}", SamplerConfig::NAMES.join("|"));
            return ExitCode::from(2);
        }
    };
    let config = match SamplerConfig::by_name(name) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match protocol::serve(config, stdin().lock(), BufWriter::new(stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(4)
        }
    }
}
