//! Damage, disorder and wrong clocks: found, named, and mended only when asked.

use super::*;

/// A dataset whose hashes are right but whose rows nobody checked.
fn forge(dir: &Path, draft: Draft, messages: &[Message]) {
    write(dir, draft.clone(), &[]);
    let mut rows = Rows::default();
    messages.iter().for_each(|message| rows.push(message).unwrap());
    let mut encoder = Encoder::new(Vec::new()).unwrap();
    encoder.write(&mut rows).unwrap();
    replace_data(dir, &encoder.finish().unwrap(), messages.len() as u64);
}

fn replace_data(dir: &Path, data: &[u8], messages: u64) {
    let mut manifest = read_manifest(dir).unwrap();
    manifest.data.bytes = data.len() as u64;
    manifest.data.blake3 = blake3::hash(data).to_hex().to_string();
    manifest.counts.messages = messages;
    manifest.counts.rows = messages;
    manifest.counts.kinds = [(Kind::Update, messages)].into();
    manifest.span = Some(Span::new((ts(0), ts(0)), (ts(0), ts(0))));
    fs::write(dir.join(DATA_FILE), data).unwrap();
    write_manifest(dir, &manifest).unwrap();
}

fn refusal(dir: &Path) -> String {
    read(dir, ReadOptions::default()).unwrap_err().to_string()
}

fn ten_messages() -> Vec<Message> {
    let mut messages = vec![book(Kind::CompleteSnapshot, 1_000, 1_010, &[(100, 5)], &[(101, 5)])];
    messages.extend((1..10).map(|k| book(Kind::Update, 1_000 + k, 1_010 + 10 * k, &[(100, k)], &[(101, k)])));
    messages
}

#[test]
fn f29_any_flipped_byte_is_found() {
    let (_root, dir) = room();
    write(&dir, draft(), &ten_messages());
    for file in [DATA_FILE, MANIFEST_FILE] {
        let path = dir.join(file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for mask in [1u8, 0x20] {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                fs::write(&path, bytes).unwrap();
                assert!(Dataset::open(&dir).is_err(), "{file}: byte {at} with {mask:#x} flipped");
            }
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(Dataset::open(&dir).is_ok());
}

#[test]
fn f29_a_file_cut_at_any_length_is_refused() {
    let (_root, dir) = room();
    write(&dir, draft(), &ten_messages());
    for file in [DATA_FILE, MANIFEST_FILE] {
        let path = dir.join(file);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let error = Dataset::open(&dir).unwrap_err().to_string();
            assert!(error.contains(file), "{length}: {error}");
        }
        fs::write(&path, whole).unwrap();
    }
    // The same when the manifest was made for the cut file: there is no Parquet footer then.
    let path = dir.join(DATA_FILE);
    let whole = fs::read(&path).unwrap();
    // Each of these goes to the disk, so not quite all lengths.
    for length in (0..whole.len()).step_by(13) {
        replace_data(&dir, &whole[..length], 10);
        let error = refusal(&dir);
        assert!(
            error.contains(DATA_FILE) && error.contains("Parquet"),
            "{length}: {error}"
        );
    }
}

#[test]
fn f29_what_is_missing_is_named() {
    let (root, dir) = room();
    let error = Dataset::resolve("nowhere", Some(root.path())).unwrap_err().to_string();
    assert!(
        error.contains("no dataset `nowhere`") && error.contains(&*root.path().to_string_lossy()),
        "{error}"
    );
    write(&dir, draft(), &ten_messages());
    fs::remove_file(dir.join(DATA_FILE)).unwrap();
    let error = Dataset::resolve("set", Some(root.path())).unwrap_err();
    assert!(error.to_string().contains(DATA_FILE), "{error}");
    assert!(
        error.outside().is_none(),
        "a missing file is the asker's mistake, not the system's"
    );
}

#[test]
fn f29_wrong_columns_are_named() {
    let (_root, dir) = room();
    write(&dir, draft(), &[]);
    let numbers = |name: &str| Column::new(name.into(), [1i64]);
    let lists = |name: &str, values: Series| Column::new(name.into(), [values]);
    let frame = |price: Column, last: &str| {
        let columns = vec![
            numbers("ts_event"),
            numbers("ts_recv"),
            Column::new("kind".into(), [2u8]),
            numbers("seq_first"),
            numbers("seq_last"),
            numbers("seq_prev"),
            Column::new("bids".into(), [1u32]),
            price,
            lists(last, Series::new("".into(), [1i64])),
        ];
        let mut bytes = Vec::new();
        let mut frame = DataFrame::new_infer_height(columns).unwrap();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        bytes
    };
    let good = || lists("price", Series::new("".into(), [1i64]));
    let cases = [
        (
            lists("price", Series::new("".into(), [1.5f64])),
            "qty",
            "column `price` is list<f64>, must be list<i64>",
        ),
        (numbers("price"), "qty", "column `price` is i64, must be list<i64>"),
        (good(), "quantity", "column `qty` is missing, must be list<i64>"),
    ];
    for (price, last, want) in cases {
        replace_data(&dir, &frame(price, last), 1);
        let error = refusal(&dir);
        assert!(error.contains(want) && error.contains(DATA_FILE), "{error}");
    }
    // Columns of the right types written by another program are fine.
    replace_data(&dir, &frame(good(), "qty"), 1);
    assert_eq!(read(&dir, ReadOptions::default()).unwrap().1.before_snapshot, 1);
}

#[test]
fn f30_unsorted_rows_are_refused_with_file_and_row() {
    let (_root, dir) = room();
    let mut writer = Writer::create(&dir, draft(), false).unwrap();
    let mut messages = ten_messages();
    messages.swap(6, 7);
    messages[..7].iter().for_each(|message| writer.push(message).unwrap());
    let error = writer.push(&messages[7]).unwrap_err().to_string();
    assert!(error.contains("row 7: ts_recv 1070 is before 1080"), "{error}");
    drop(writer);
    forge(&dir, draft(), &messages);
    let error = refusal(&dir);
    assert!(
        error.contains("data.parquet: row 7: ts_recv 1070 is before 1080"),
        "{error}"
    );
    let found = validate(&dir, &Default::default(), &mut |_| true).unwrap();
    let unsorted: Vec<_> = found.findings.iter().filter(|f| f.check == Check::Unsorted).collect();
    assert_eq!(unsorted.len(), 1);
    assert_eq!(unsorted[0].row, Some(7));
    // The explicit repair.
    let mended = dir.with_file_name("mended");
    let options = Rewrite {
        repair: [Repair::Sort].into(),
        ..Rewrite::default()
    };
    let (_, done) = rewrite(&Dataset::open(&dir).unwrap(), &mended, &options, &mut |_| true).unwrap();
    assert_eq!((done.messages, done.moved), (10, 1));
    assert_eq!(read(&mended, ReadOptions::default()).unwrap().0, ten_messages());
}

#[test]
fn f30_mixed_units_and_local_time_are_found_and_can_be_mended() {
    let noon = 1_723_161_600_000_000_000i64;
    let hour = 3_600_000_000_000i64;
    let cases = [
        (noon - 5_000_000, noon, None),
        (noon / 1_000_000, noon, Some("looks like milliseconds")),
        (noon - 5_000_000, noon / 1_000, Some("looks like microseconds")),
        (noon + 9 * hour - 5_000_000, noon, Some("+9 h from ts_recv")),
        (noon - 9 * hour - 5_000_000, noon, Some("-9 h from ts_recv")),
        (noon + 1_272_000_000, noon, Some("1272.000 ms after ts_recv")),
        (noon, 0, Some("outside 2009 to 2100")),
    ];
    for (event, recv, want) in cases {
        let (_root, dir) = room();
        write(
            &dir,
            draft(),
            &[book(Kind::Snapshot, event, recv, &[(100, 5)], &[(101, 5)])],
        );
        let found = validate(&dir, &Default::default(), &mut |_| true).unwrap();
        let details: Vec<_> = found.findings.iter().map(|finding| finding.detail.as_str()).collect();
        match want {
            Some(want) => assert!(!found.sound && details.iter().any(|d| d.contains(want)), "{details:?}"),
            None => assert!(found.sound, "{details:?}"),
        }
    }
    let (_root, dir) = room();
    let row = |event, recv| book(Kind::Snapshot, event, recv, &[(100, 5)], &[(101, 5)]);
    write(
        &dir,
        draft(),
        &[row(noon / 1_000_000, noon / 1_000), row(noon, noon + 1)],
    );
    let options = Rewrite {
        repair: [Repair::Units].into(),
        ..Rewrite::default()
    };
    let mended = dir.with_file_name("mended");
    let (_, done) = rewrite(&Dataset::open(&dir).unwrap(), &mended, &options, &mut |_| true).unwrap();
    assert_eq!(done.units, 2);
    assert!(validate(&mended, &Default::default(), &mut |_| true).unwrap().sound);
}

#[test]
fn f31_an_empty_dataset_is_a_finding() {
    let (_root, dir) = room();
    write(&dir, draft(), &[]);
    let found = validate(&dir, &Default::default(), &mut |_| true).unwrap();
    assert_eq!(found.findings[0].check, Check::Empty);
    assert!(!found.sound);
    assert!(validate(&dir, &[Check::Empty].into(), &mut |_| true).unwrap().sound);
}

#[test]
fn f33_an_exchange_clock_ahead_of_ours_is_counted_and_estimated() {
    let (_root, dir) = room();
    let start = 1_723_161_600_000_000_000i64;
    // The recorder is 1.27 s behind; latency is 5, 6 … 14 ms.
    let messages: Vec<_> = (0..10)
        .map(|k| {
            let event = start + k * 100_000_000;
            book(
                Kind::Snapshot,
                event,
                event - 1_270_000_000 + (5 + k) * 1_000_000,
                &[(100, 5)],
                &[(101, 5)],
            )
        })
        .collect();
    write(&dir, draft(), &messages);
    let (_, stats) = read(&dir, ReadOptions::default()).unwrap();
    assert_eq!((stats.clamped, stats.most_ahead_ns), (10, 1_265_000_000));
    let dataset = Dataset::open(&dir).unwrap();
    let seen = inspect(&dataset, 5_000_000, &mut |_| true).unwrap();
    assert!(seen.latency_ms.unwrap().p50 < 0.0, "as recorded, not mended in silence");
    let clock = seen.clock.unwrap();
    assert!(clock.needed);
    assert_eq!(
        (clock.ahead, clock.line.as_str()),
        (10, "clock_offset_ns = -1270000000")
    );
    // The line, put into the manifest, gives the true exchange times on our clock.
    let path = dir.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("clock_offset_ns = 0", &clock.line);
    fs::write(&path, text).unwrap();
    assert!(refusal(&dir).contains("--seal"), "an edit by hand is noticed");
    reseal(&dir).unwrap();
    let (back, stats) = read(&dir, ReadOptions::default()).unwrap();
    assert_eq!(stats.clamped, 0);
    for (back, message) in back.iter().zip(&messages) {
        assert_eq!(back.ts_event, message.ts_event.plus(-1_270_000_000));
    }
}

#[test]
fn f42_another_schema_is_refused_by_its_number() {
    let (_root, dir) = room();
    write(&dir, draft(), &ten_messages());
    let path = dir.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, want) in [
        (
            "schema = 1",
            "schema = 2",
            "schema 2, but this crossbook reads schema 1",
        ),
        ("schema = 1", "scheme = 1", "not a dataset manifest"),
        ("venue = ", "vebue = ", "unknown field `vebue`"),
        ("file = \"data", "file = \"../data", "data.file must be"),
        ("update = 9", "update = 8", "do not add up"),
        ("first_recv = \"1970", "first_recv = \"1971", "is not 1010 ns"),
    ] {
        fs::write(&path, seal(&text.replace(from, to))).unwrap();
        let error = refusal(&dir);
        assert!(error.contains(want) && error.contains(MANIFEST_FILE), "{error}");
    }
}

#[test]
fn f50_nothing_is_there_until_all_is() {
    let (root, dir) = room();
    let mut writer = Writer::create(&dir, draft(), false).unwrap();
    writer.push(&ten_messages()[0]).unwrap();
    assert!(!dir.exists());
    let error = Writer::create(&dir, draft(), false)
        .err()
        .map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("another process")));
    drop(writer);
    assert_eq!(
        fs::read_dir(root.path()).unwrap().count(),
        0,
        "a dropped writer leaves nothing"
    );
    // What a killed writer leaves is in nobody's way.
    let leftover = root.path().join(".set.partial");
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join(DATA_FILE), "half a file").unwrap();
    write(&dir, draft(), &ten_messages());
    assert!(Dataset::open(&dir).is_ok());
    assert!(!leftover.exists());
}

#[test]
fn f50_only_force_replaces_and_only_a_dataset() {
    let (root, dir) = room();
    write(&dir, draft(), &ten_messages());
    let error = |force| {
        Writer::create(&dir, draft(), force)
            .err()
            .map(|error| error.to_string())
    };
    assert!(error(false).is_some_and(|error| error.contains("--force")));
    let mut writer = Writer::create(&dir, draft(), true).unwrap();
    writer.push(&ten_messages()[0]).unwrap();
    assert_eq!(
        read(&dir, ReadOptions::default()).unwrap().0.len(),
        10,
        "until then the old one stays"
    );
    writer.finish().unwrap();
    assert_eq!(read(&dir, ReadOptions::default()).unwrap().0.len(), 1);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    // A replacement that was killed between its two renames: the old one comes back first.
    fs::rename(&dir, root.path().join(".set.old")).unwrap();
    assert!(error(false).is_some_and(|error| error.contains("--force")));
    fs::remove_file(dir.join(MANIFEST_FILE)).unwrap();
    assert!(error(true).is_some_and(|error| error.contains("no dataset folder")));
}

#[test]
fn f30_a_span_that_is_hours_off_is_called_a_time_zone() {
    let (_root, dir) = room();
    let noon = 1_723_161_600_000_000_000i64;
    let hour = 3_600_000_000_000i64;
    write(
        &dir,
        draft(),
        &[book(Kind::Snapshot, noon, noon, &[(100, 5)], &[(101, 5)])],
    );
    let mut manifest = read_manifest(&dir).unwrap();
    manifest.span = Some(Span::new(
        (ts(noon + 9 * hour), ts(noon + 9 * hour)),
        (ts(noon), ts(noon)),
    ));
    write_manifest(&dir, &manifest).unwrap();
    let found = validate(&dir, &Default::default(), &mut |_| true).unwrap();
    assert_eq!(found.counts, [(Check::Manifest, 1)].into());
    assert!(found.findings[0].detail.contains("-9 h"), "{:?}", found.findings);
}

#[test]
fn f30_the_same_row_twice_is_a_duplicate() {
    let (_root, dir) = room();
    let noon = 1_723_161_600_000_000_000i64;
    let row = |at, qty| book(Kind::Snapshot, at, at, &[(100, qty)], &[(101, 5)]);
    write(
        &dir,
        draft(),
        &[row(noon, 5), row(noon, 5), row(noon, 6), row(noon + 1, 6)],
    );
    let found = validate(&dir, &Default::default(), &mut |_| true).unwrap();
    assert_eq!(found.counts, [(Check::Duplicate, 1)].into());
    assert_eq!(found.findings[0].row, Some(1));
}

#[test]
fn a_conversion_that_is_stopped_leaves_nothing() {
    let (root, dir) = room();
    write(&dir, draft(), &ten_messages());
    let dataset = Dataset::open(&dir).unwrap();
    let stopped = [
        rewrite(&dataset, &root.path().join("a"), &Rewrite::default(), &mut |_| false).map(drop),
        to_csv(
            &dataset,
            &root.path().join("b"),
            Csv::Levels,
            (None, None),
            false,
            &mut |_| false,
        )
        .map(drop),
        validate(&dir, &Default::default(), &mut |_| false).map(drop),
        inspect(&dataset, 0, &mut |_| false).map(drop),
    ];
    for result in stopped {
        assert!(matches!(result, Err(DatasetError::Stopped)), "{result:?}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
