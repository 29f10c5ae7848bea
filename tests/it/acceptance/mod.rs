//! The recorder against the loopback exchange for as long as one likes: real sockets, the real program, faults by
//! script, and afterwards what was recorded against what the exchange knows to have been true.
//!
//! `CROSSBOOK_SOAK_SECONDS` (default 60) is the length of each recording; faults and timers scale with it, rates of
//! messages do not. `make soak` takes ten minutes.

mod check;
mod stage;

use std::time::Duration;

use stage::{Load, Stage};

fn seconds() -> u64 {
    match std::env::var("CROSSBOOK_SOAK_SECONDS") {
        Ok(text) => text.parse().expect("CROSSBOOK_SOAK_SECONDS is a number"),
        Err(_) => 60,
    }
}

/// Thirty markets at each venue, twenty faults of every class.
#[test]
fn c1_c2_a_recording_under_twenty_faults_is_whole_and_true_and_replays() {
    let stage = Stage::play(Load::TwentyFaults, Duration::from_secs(seconds()));
    check::account(&stage);
    check::links(&stage);
    let seen = check::books_against_the_truth(&stage);
    println!("{seen}");
    check::faults_struck(&stage, 20);
    check::gaps(&stage);
    check::memory(&stage);
    check::one_digest(&stage);
}

/// Twice the usual rate all the time: nothing is lost, and nothing falls behind.
#[test]
fn f80_twice_the_rate_loses_nothing_and_keeps_up() {
    let stage = Stage::play(Load::Storm, Duration::from_secs(seconds()));
    check::account(&stage);
    let seen = check::books_against_the_truth(&stage);
    println!("{seen}");
    check::keeps_up(&stage);
    check::memory(&stage);
}
