//! The rules by which frames are read, written down once more: slowly, over whole trees of serde_json, with
//! `parse_number` for every amount. What the quick readers do is right when it is what this does.

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, TimestampNs, parse_number};
use crossbook_feed::input::Request;
use crossbook_feed::venue::Protocol;
use crossbook_feed::wire::{Body, Book, Mark, Message, Refusal, Role, Ticker, Trade};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why is not compared.
type Read<T> = Result<T, ()>;

/// An object, its members as they were sent.
pub struct Object<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> Object<'a> {
    fn all(&self, names: &[&str]) -> Vec<&'a str> {
        let named = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        named.map(|(_, value)| value.get()).collect()
    }

    fn has(&self, name: &str) -> bool {
        !self.all(&[name]).is_empty()
    }

    /// A member that may be missing but not come twice.
    fn maybe<T>(&self, names: &[&str], read: impl Fn(&'a str) -> Read<T>) -> Read<Option<T>> {
        match self.all(names).as_slice() {
            [] => Ok(None),
            [one] => read(one).map(Some),
            _ => Err(()),
        }
    }

    fn one<T>(&self, names: &[&str], read: impl Fn(&'a str) -> Read<T>) -> Read<T> {
        self.maybe(names, read)?.ok_or(())
    }
}

fn object(text: &str) -> Read<Object<'_>> {
    serde_json::from_str(text).map_err(|_| ())
}

fn list(text: &str) -> Read<Vec<&str>> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| ())?;
    Ok(raw.into_iter().map(RawValue::get).collect())
}

fn text(raw: &str) -> Read<String> {
    serde_json::from_str(raw).map_err(|_| ())
}

/// Without its quotes, if it has any, and with its escapes.
fn written(raw: &str) -> &str {
    raw.strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .unwrap_or(raw)
}

fn content(raw: &str) -> Read<String> {
    Ok(written(raw).to_owned())
}

fn amount(raw: &str) -> Read<i64> {
    parse_number(written(raw)).map_err(|_| ())
}

fn whole(raw: &str) -> Read<u64> {
    let digits = written(raw);
    if !digits.bytes().all(|b| b.is_ascii_digit()) || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(());
    }
    digits.parse().map_err(|_| ())
}

fn flag(raw: &str) -> Read<bool> {
    raw.parse().map_err(|_| ())
}

fn time(value: u64) -> Read<TimestampNs> {
    match value {
        946_684_800_000..7_258_118_400_000 => Ok(TimestampNs(value as i64 * 1_000_000)),
        946_684_800_000_000..7_258_118_400_000_000 => Ok(TimestampNs(value as i64 * 1_000)),
        _ => Err(()),
    }
}

fn level(price: i64, qty: i64) -> Read<Level> {
    Ok(Level {
        price: Price::from_raw(price).map_err(|_| ())?,
        qty: Qty::from_raw(qty).map_err(|_| ())?,
    })
}

fn bare(body: Body<'_>) -> Message<'_> {
    Message {
        symbol: None,
        stream: None,
        ts_event: None,
        initial: false,
        body,
    }
}

fn refused(code: Option<String>, message: Option<String>) -> String {
    let body = Body::Refusal(Refusal {
        code: code.as_deref().unwrap_or(""),
        message: message.as_deref().unwrap_or(""),
    });
    show(&bare(body))
}

/// How messages are compared.
pub fn show(message: &Message<'_>) -> String {
    format!("{message:?}")
}

/// As `wire::read` and `wire::read_answer`.
pub fn read(protocol: Protocol, request: Option<&Request>, bytes: &[u8]) -> Read<Vec<String>> {
    let text = std::str::from_utf8(bytes).map_err(|_| ())?;
    let text = text.trim_matches([' ', '\n', '\r', '\t']);
    let each = |read: fn(&str) -> Read<String>| list(text)?.into_iter().map(read).collect();
    let is_list = text.starts_with('[');
    match (protocol, request) {
        (Protocol::Upbit, None) if is_list => each(upbit),
        (Protocol::Upbit, None) => Ok(vec![upbit(text)?]),
        (Protocol::Upbit, Some(Request::Books(_))) if is_list => each(|text| upbit_book(&object(text)?)),
        (Protocol::Upbit, Some(Request::Trades(_))) if is_list => each(|text| upbit_trade(&object(text)?)),
        (Protocol::Upbit, Some(_)) => Ok(vec![upbit_refusal(&object(text)?)?]),
        (_, Some(Request::Trades(_))) if is_list => each(binance_row),
        (_, Some(Request::Trades(_))) => Ok(vec![binance_reply(&object(text)?)?]),
        _ => Ok(vec![binance(text)?]),
    }
}

fn upbit(raw: &str) -> Read<String> {
    let frame = object(raw)?;
    match frame.maybe(&["type", "ty"], text)?.as_deref() {
        Some("orderbook") => upbit_book(&frame),
        Some("trade") => upbit_trade(&frame),
        Some(name) => Ok(show(&bare(Body::Other(name)))),
        None if frame.all(&["error"]).iter().any(|error| *error != "null") => upbit_refusal(&frame),
        None if frame.has("status") => Ok(show(&bare(Body::Other("status")))),
        None => {
            let method = frame.maybe(&["method"], text)?;
            Ok(show(&bare(Body::Other(method.as_deref().unwrap_or("unnamed")))))
        }
    }
}

fn upbit_refusal(frame: &Object<'_>) -> Read<String> {
    let error = frame.one(&["error"], object)?;
    Ok(refused(
        error.maybe(&["name"], content)?,
        error.maybe(&["message"], content)?,
    ))
}

fn upbit_message<'a>(frame: &Object<'_>, symbol: &'a str, body: impl FnOnce(TimestampNs) -> Body<'a>) -> Read<String> {
    frame.maybe(&["type", "ty"], |_| Ok(()))?;
    let stream_type = frame.maybe(&["stream_type", "st"], text)?;
    let ts = time(frame.one(&["timestamp", "tms"], whole)?)?;
    Ok(show(&Message {
        symbol: Some(symbol),
        ts_event: Some(ts),
        initial: stream_type.as_deref() == Some("SNAPSHOT"),
        ..bare(body(ts))
    }))
}

fn upbit_book(frame: &Object<'_>) -> Read<String> {
    let (mut bids, mut asks) = (Vec::new(), Vec::new());
    for unit in frame.one(&["orderbook_units", "obu"], list)? {
        let unit = object(unit)?;
        let bid = (
            unit.one(&["bid_price", "bp"], amount)?,
            unit.one(&["bid_size", "bs"], amount)?,
        );
        let ask = (
            unit.one(&["ask_price", "ap"], amount)?,
            unit.one(&["ask_size", "as"], amount)?,
        );
        for (side, (price, qty)) in [(&mut bids, bid), (&mut asks, ask)] {
            if price != 0 {
                side.push(level(price, qty)?);
            }
        }
    }
    let grouping = frame.maybe(&["level", "lv"], amount)?.unwrap_or(0);
    let symbol = frame.one(&["code", "cd", "market"], text)?;
    upbit_message(frame, &symbol, |ts| {
        Body::Book(Book {
            role: Role::Whole,
            ids: MessageIds {
                ts_event: ts.0,
                ..MessageIds::default()
            },
            bids: &bids,
            asks: &asks,
            grouping,
        })
    })
}

fn upbit_trade(frame: &Object<'_>) -> Read<String> {
    let Level { price, qty } = level(
        frame.one(&["trade_price", "tp"], amount)?,
        frame.one(&["trade_volume", "tv"], amount)?,
    )?;
    let trade = Trade {
        id: frame.one(&["sequential_id", "sid"], whole)?,
        price,
        qty,
        taker: match frame.one(&["ask_bid", "ab"], text)?.as_str() {
            "ASK" => Side::Sell,
            "BID" => Side::Buy,
            _ => return Err(()),
        },
        aggregate: false,
        spot: true,
    };
    let symbol = frame.one(&["code", "cd", "market"], text)?;
    upbit_message(frame, &symbol, |_| Body::Trade(trade))
}

fn binance(raw: &str) -> Read<String> {
    let frame = object(raw)?;
    if frame.has("e") || !frame.has("stream") || !frame.has("data") {
        return binance_body(&frame, None);
    }
    let stream = frame.one(&["stream"], text)?;
    let data = frame.one(&["data"], Ok)?;
    let told = |body| {
        show(&Message {
            stream: Some(&stream),
            ..bare(body)
        })
    };
    if stream == "!serverShutdown" {
        Ok(told(Body::Shutdown))
    } else if data.starts_with('{') {
        binance_body(&object(data)?, Some(&stream))
    } else {
        Ok(told(Body::Other(&stream)))
    }
}

fn binance_body(frame: &Object<'_>, stream: Option<&str>) -> Read<String> {
    let name = frame.maybe(&["e"], text)?;
    let other = |body| Ok(show(&Message { stream, ..bare(body) }));
    match name.as_deref() {
        Some("depthUpdate") => binance_depth(frame, stream),
        Some("bookTicker") => binance_ticker(frame, stream),
        Some(name @ ("trade" | "aggTrade")) => {
            let id = if name == "trade" { "t" } else { "a" };
            let keys = [id, "p", "q", "T", "m", "M"];
            let (ts, trade) = binance_trade(frame, keys, name == "aggTrade")?;
            let symbol = frame.one(&["s"], text)?;
            Ok(show(&Message {
                symbol: Some(&symbol),
                stream,
                ts_event: Some(ts),
                ..bare(Body::Trade(trade))
            }))
        }
        Some("markPriceUpdate") => binance_mark(frame, stream),
        Some("serverShutdown") => other(Body::Shutdown),
        Some(name) => other(Body::Other(name)),
        None if frame.has("lastUpdateId") => binance_whole(frame, stream),
        None if frame.has("u") && frame.has("B") => binance_ticker(frame, stream),
        None if stream.is_some() => other(Body::Other("unnamed")),
        None => binance_reply(frame),
    }
}

fn levels(raw: &str) -> Read<Vec<Level>> {
    let pair = |raw: &str| match list(raw)?.as_slice() {
        [price, qty, ..] => level(amount(price)?, amount(qty)?),
        _ => Err(()),
    };
    list(raw)?.into_iter().map(pair).collect()
}

fn binance_depth(frame: &Object<'_>, stream: Option<&str>) -> Read<String> {
    let event = frame.one(&["E"], whole)?;
    let ts = time(frame.maybe(&["T"], whole)?.unwrap_or(event))?;
    let (bids, asks) = (frame.one(&["b"], levels)?, frame.one(&["a"], levels)?);
    let symbol = frame.one(&["s"], text)?;
    let book = Book {
        role: Role::Diff,
        ids: MessageIds {
            first: Some(frame.one(&["U"], whole)?),
            last: Some(frame.one(&["u"], whole)?),
            prev: frame.maybe(&["pu"], whole)?,
            ts_event: ts.0,
        },
        bids: &bids,
        asks: &asks,
        grouping: 0,
    };
    Ok(show(&Message {
        symbol: Some(&symbol),
        stream,
        ts_event: Some(ts),
        ..bare(Body::Book(book))
    }))
}

fn binance_whole(frame: &Object<'_>, stream: Option<&str>) -> Read<String> {
    let times = (frame.maybe(&["T"], whole)?, frame.maybe(&["E"], whole)?);
    let ts = times.0.or(times.1).map(time).transpose()?;
    let (bids, asks) = (frame.one(&["bids"], levels)?, frame.one(&["asks"], levels)?);
    let named = frame.maybe(&["symbol"], text)?;
    let by_stream = stream
        .and_then(|name| name.split('@').next())
        .map(str::to_ascii_uppercase);
    let symbol = named.or(by_stream.filter(|symbol| !symbol.is_empty()));
    let book = Book {
        role: Role::Whole,
        ids: MessageIds {
            last: Some(frame.one(&["lastUpdateId"], whole)?),
            ts_event: ts.map_or(0, |ts| ts.0),
            ..MessageIds::default()
        },
        bids: &bids,
        asks: &asks,
        grouping: 0,
    };
    Ok(show(&Message {
        symbol: symbol.as_deref(),
        stream,
        ts_event: ts,
        ..bare(Body::Book(book))
    }))
}

fn binance_ticker(frame: &Object<'_>, stream: Option<&str>) -> Read<String> {
    let side = |price: &str, qty: &str| {
        let (price, qty) = (frame.one(&[price], amount)?, frame.one(&[qty], amount)?);
        if qty == 0 {
            Ok(None)
        } else {
            level(price, qty).map(Some)
        }
    };
    let ticker = Ticker {
        id: frame.one(&["u"], whole)?,
        bid: side("b", "B")?,
        ask: side("a", "A")?,
    };
    let symbol = frame.one(&["s"], text)?;
    Ok(show(&Message {
        symbol: Some(&symbol),
        stream,
        ts_event: frame.maybe(&["T"], whole)?.map(time).transpose()?,
        ..bare(Body::Ticker(ticker))
    }))
}

fn binance_trade(frame: &Object<'_>, keys: [&str; 6], aggregate: bool) -> Read<(TimestampNs, Trade)> {
    let [id, price, qty, ts, buyer_is_maker, spot_only] = keys;
    let Level { price, qty } = level(frame.one(&[price], amount)?, frame.one(&[qty], amount)?)?;
    let trade = Trade {
        id: frame.one(&[id], whole)?,
        price,
        qty,
        taker: if frame.one(&[buyer_is_maker], flag)? {
            Side::Sell
        } else {
            Side::Buy
        },
        aggregate,
        spot: frame.maybe(&[spot_only], |_| Ok(()))?.is_some(),
    };
    Ok((time(frame.one(&[ts], whole)?)?, trade))
}

fn binance_row(raw: &str) -> Read<String> {
    let keys = ["id", "price", "qty", "time", "isBuyerMaker", "isBestMatch"];
    let (ts, trade) = binance_trade(&object(raw)?, keys, false)?;
    Ok(show(&Message {
        ts_event: Some(ts),
        ..bare(Body::Trade(trade))
    }))
}

fn binance_mark(frame: &Object<'_>, stream: Option<&str>) -> Read<String> {
    let rate = |raw: &str| if raw == "\"\"" { Ok(None) } else { amount(raw).map(Some) };
    let next = match frame.one(&["T"], whole)? {
        0 => None,
        value => Some(time(value)?),
    };
    let mark = Mark {
        mark: Price::from_raw(frame.one(&["p"], amount)?).map_err(|_| ())?,
        rate: frame.maybe(&["r"], rate)?.flatten(),
        next,
    };
    let symbol = frame.one(&["s"], text)?;
    Ok(show(&Message {
        symbol: Some(&symbol),
        stream,
        ts_event: Some(time(frame.one(&["E"], whole)?)?),
        ..bare(Body::Mark(mark))
    }))
}

fn binance_reply(frame: &Object<'_>) -> Read<String> {
    let (code, message) = (frame.maybe(&["code"], content)?, frame.maybe(&["msg"], content)?);
    let errors = frame.all(&["error"]);
    match errors
        .iter()
        .filter(|error| error.starts_with('{'))
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] if code.is_some() => Ok(refused(code, message)),
        [] if frame.has("result") || frame.has("id") => Ok(show(&bare(Body::Other("result")))),
        [] => Ok(show(&bare(Body::Other("unnamed")))),
        [error] => {
            let error = object(error)?;
            Ok(refused(
                error.maybe(&["code"], content)?,
                error.maybe(&["msg"], content)?,
            ))
        }
        _ => Err(()),
    }
}
