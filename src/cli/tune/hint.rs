//! What is said when a session stops: the command that goes on with it, as a shell takes it.

use std::path::Path;

use super::super::Common;
use super::Args;
use crate::tune::pictures::quoted;
use crate::tune::store::link::Address;

/// The command to go on with a session. It says again what this run was told on the command line and would not know otherwise.
/// A password is never printed; where the store's URL has one, the environment has to hold it.
pub fn go_on(common: &Common, args: &Args, id: &str, address: Option<&Address>) -> String {
    let mut command = format!("crossbook tune --resume {}", quoted(id));
    let mut add = |flag: &str, value: &str| command += &format!(" {flag} {}", quoted(value));
    if args.sessions != Path::new("sessions") {
        add("--sessions", &args.sessions.display().to_string());
    }
    if let Some(root) = &common.data_root {
        add("--data-root", &root.display().to_string());
    }
    let hidden = address.is_some_and(Address::has_password);
    match (&args.store, address) {
        (Some(_), Some(address)) if !hidden => add("--store", &address.plain()),
        (Some(_), None) => add("--store", "file"),
        // It came from the environment, or has to.
        _ => {}
    }
    if address.is_some() {
        if args.env != "local" {
            add("--env", &args.env);
        }
        if args.lease != 10.0 {
            add("--lease", &args.lease.to_string());
        }
        if args.attempts != 3 {
            add("--attempts", &args.attempts.to_string());
        }
    }
    if let Some(threads) = args.threads {
        add("--threads", &threads.to_string());
    }
    if args.recheck != 3 {
        add("--recheck", &args.recheck.to_string());
    }
    if args.no_plots {
        command += " --no-plots";
    }
    match address {
        Some(address) if hidden && args.store.is_some() => {
            let address = address.plain();
            format!(
                "set CROSSBOOK_STORE to the URL of {address} (its password is not shown), then go on with: {command}"
            )
        }
        _ => format!("go on with: {command}"),
    }
}
