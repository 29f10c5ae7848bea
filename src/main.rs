use std::process::ExitCode;

fn main() -> ExitCode {
    crossbook::cli::main()
}
