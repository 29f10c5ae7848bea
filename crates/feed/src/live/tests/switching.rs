//! WebSocket, polling, and back.

use super::*;

fn poll(on: bool) -> Command {
    Command::Poll { venue: BINANCE, on }
}

#[test]
fn f11_one_venue_down_the_other_lives_on_and_the_first_recovers_alone() {
    let mut run = Run::new(&two_venues());
    run.at(1).open(UPBIT, 1, None);
    run.open(BINANCE, 2, None);
    run.at(2).frame(UPBIT, 1, &upbit_book(1, &[(101, 1, 100, 1)]));
    run.frame(BINANCE, 2, &diff(1, 11, 12, &[(90, 1)], &[]));
    run.answer(BINANCE, "BTCUSDT", 200, &depth(11, &[(89, 1)], &[(92, 1)]));
    assert_eq!((run.top(KRW_BTC), run.top(BTCUSDT)), (Some((100, 101)), Some((90, 92))));
    run.at(1_000).lose(BINANCE, 2);
    assert_eq!((run.top(KRW_BTC), run.top(BTCUSDT)), (Some((100, 101)), None));
    assert_eq!(run.health(BTCUSDT), Some(Cause::Disconnected));
    run.at(2_000).frame(UPBIT, 1, &upbit_book(1_999, &[(103, 1, 100, 1)]));
    assert_eq!(run.top(KRW_BTC), Some((100, 103)));
    run.at(3_000).open(BINANCE, 3, None);
    run.at(3_001).frame(BINANCE, 3, &diff(2_990, 31, 32, &[(95, 1)], &[]));
    assert_eq!(run.top(BTCUSDT), None, "no snapshot yet");
    run.answer(BINANCE, "BTCUSDT", 200, &depth(31, &[(94, 1)], &[(96, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((95, 96)));
}

#[test]
fn polling_stands_in_for_a_connection_and_gives_way_to_it() {
    let mut run = Run::new(&two_venues());
    run.at(4_999).tick();
    assert_eq!(run.commands, []);
    run.at(5_000).tick();
    let both = [UPBIT, BINANCE].map(|venue| Command::Poll { venue, on: true });
    assert_eq!(run.commands, both);
    run.commands.clear();
    run.at(5_100)
        .answer(BINANCE, "BTCUSDT", 200, &depth(10, &[(90, 1)], &[(92, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((90, 92)));
    assert_eq!(run.events.last().map(|seen| seen.via), Some(Via::Rest));
    run.at(6_100)
        .answer(BINANCE, "BTCUSDT", 200, &depth(9, &[(80, 1)], &[(81, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((90, 92)), "an answer from a cache is older");
    // The connection is back: the polled book serves until the diffs have a snapshot.
    run.at(6_200).open(BINANCE, 1, None);
    run.at(6_300).frame(BINANCE, 1, &diff(6_250, 21, 22, &[(91, 1)], &[]));
    assert_eq!(run.top(BTCUSDT), Some((90, 92)));
    assert!(!run.commands.contains(&poll(false)));
    run.at(7_000)
        .answer(BINANCE, "BTCUSDT", 200, &depth(21, &[(90, 1)], &[(93, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((91, 93)));
    assert_eq!(run.events.last().map(|seen| seen.via), Some(Via::WebSocket(ConnId(1))));
    assert!(run.commands.contains(&poll(false)));
    let gaps = run.gaps.iter().filter(|gap| gap.market == BTCUSDT);
    assert_eq!(gaps.count(), 1, "live without a break since it was polled first");
}

#[test]
fn a_data_source_of_rest_polls_from_the_beginning_and_one_of_websocket_never() {
    for (source, commands) in [
        ("rest", vec![Command::Poll { venue: UPBIT, on: true }]),
        ("websocket", vec![]),
    ] {
        let config = venue(&format!("name = 'upbit'\nprotocol = 'upbit'\ndata_source = '{source}'"));
        let mut run = Run::new(&[(config, vec!["KRW-BTC".to_owned()])]);
        run.at(100_000).tick();
        assert_eq!(run.commands, commands, "{source}");
    }
}
