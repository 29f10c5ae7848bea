//! Windows of a dataset.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// F36: an event is in exactly one of two adjacent windows, and the second one begins with the book of the first.
    #[test]
    fn f36_two_windows_are_the_whole(messages in arbitrary_messages(), share in 0.0f64..1.1, memory in prop::sample::select(vec![1, 1 << 26])) {
        let (_root, dir) = room();
        write(&dir, draft(), &messages);
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(()) };
        let cut = first.ts_recv.plus(((last.ts_recv.since(first.ts_recv)) as f64 * share) as i64);
        let options = |from, to| ReadOptions { from, to, memory };
        let whole = read(&dir, options(None, None)).unwrap();
        let left = read(&dir, options(None, Some(cut))).unwrap();
        let right = read(&dir, options(Some(cut), None)).unwrap();
        let carried = right.1.carried as usize;
        let mut joined = left.0.clone();
        joined.extend_from_slice(&right.0[carried..]);
        prop_assert_eq!(&joined, &whole.0);
        prop_assert_eq!(left.1.messages + right.1.messages, whole.1.messages);
        prop_assert!(right.0[..carried].iter().all(|message| message.ts_recv == cut));
        // The book at the end is the same from the window alone.
        let end = |messages: &[Message]| {
            let mut book = Book::default();
            for m in messages {
                let event = match m.kind {
                    Kind::Snapshot | Kind::CompleteSnapshot => EventKind::Snapshot { bids: &m.bids, asks: &m.asks, complete: m.kind == Kind::CompleteSnapshot },
                    Kind::Update => EventKind::Update { bids: &m.bids, asks: &m.asks },
                    Kind::Status => EventKind::Status(FeedStatus::from_code(m.values[0]).unwrap()),
                    _ => continue,
                };
                book.apply(m.ts_event, m.ts_recv, &event);
            }
            book.top()
        };
        prop_assert_eq!(end(&right.0), end(&whole.0));
    }
}

#[test]
fn a_window_far_inside_begins_with_the_book_before_it() {
    let (_root, dir) = room();
    let start = 1_723_161_600_000_000_000i64;
    let mut messages = vec![book(
        Kind::CompleteSnapshot,
        start,
        start,
        &[(100, 5), (99, 7)],
        &[(101, 5)],
    )];
    // Several row groups of updates without another snapshot, then a window in the last of them.
    messages.extend((1..150_000).map(|k| book(Kind::Update, start + k, start + k, &[(100, 1 + k % 9)], &[])));
    write(&dir, draft(), &messages);
    let window = ReadOptions {
        from: Some(ts(start + 140_000)),
        to: Some(ts(start + 140_003)),
        ..ReadOptions::default()
    };
    let (back, stats) = read(&dir, window).unwrap();
    assert_eq!((stats.messages, stats.carried), (3, 1));
    let before = 1 + 139_999 % 9;
    let want = book(
        Kind::CompleteSnapshot,
        start + 139_999,
        start + 140_000,
        &[(100, before), (99, 7)],
        &[(101, 5)],
    );
    assert_eq!(back[0], want);
    assert_eq!(back[1..], messages[140_000..140_003]);
    // The same as a dataset of its own.
    let cut = dir.with_file_name("cut");
    let options = Rewrite {
        from: window.from,
        to: window.to,
        ..Rewrite::default()
    };
    let (manifest, done) = rewrite(&Dataset::open(&dir).unwrap(), &cut, &options, &mut |_| true).unwrap();
    assert_eq!((done.messages, done.carried, manifest.counts.messages), (4, 1, 4));
    assert_eq!(read(&cut, ReadOptions::default()).unwrap().0, back);
}

#[test]
fn a_rate_from_before_the_window_is_known_in_it_with_its_age() {
    let (_root, dir) = room();
    let rate = |raw| FxRate::from_raw(raw).unwrap();
    write(
        &dir,
        draft(),
        &[
            Message::fx(ts(10), ts(20), rate(1)),
            Message::fx(ts(110), ts(120), rate(2)),
        ],
    );
    let window = ReadOptions {
        from: Some(ts(100)),
        to: Some(ts(120)),
        ..ReadOptions::default()
    };
    assert_eq!(read(&dir, window).unwrap().0, [Message::fx(ts(10), ts(100), rate(1))]);
}
