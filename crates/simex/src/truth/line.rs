//! The lines of a truth log. Names are short where lines are many.

use crossbook_engine::instrument::Side;
use serde::{Deserialize, Serialize};

use crate::exchange::{Status, Venue};

/// A market in the log's list; other lines name it by its place there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedMarket {
    /// Where.
    pub venue: Venue,
    /// The venue's spelling.
    pub symbol: String,
}

/// A line. `t`: true time; `c`: the exchange's clock; `m`: market; `p`, `q`: price and quantity in 1e-8.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "what a letter means is said above; the others say it themselves"
)]
pub enum Line {
    /// The first line: version, seed, start, levels a side in a checksum, markets.
    Head {
        v: u32,
        seed: u64,
        start: i64,
        levels: usize,
        markets: Vec<ListedMarket>,
    },
    /// A whole book with its last id: bids and asks, best first, and the checksum of its top.
    Snap {
        t: i64,
        c: i64,
        m: usize,
        u: u64,
        b: Vec<(i64, i64)>,
        a: Vec<(i64, i64)>,
        h: u64,
    },
    /// A change: first and last id, new quantities, and the checksum of the top after it.
    Book {
        t: i64,
        c: i64,
        m: usize,
        #[serde(rename = "U")]
        first: u64,
        u: u64,
        b: Vec<(i64, i64)>,
        a: Vec<(i64, i64)>,
        h: u64,
    },
    /// A trade; `s` took.
    Trade {
        t: i64,
        c: i64,
        m: usize,
        id: u64,
        p: i64,
        q: i64,
        s: Side,
    },
    /// Mark price and funding rate (1e-8) of a perpetual.
    Mark {
        t: i64,
        c: i64,
        m: usize,
        p: i64,
        rate: i64,
        next: i64,
    },
    /// A market's rules changed.
    Rules {
        t: i64,
        c: i64,
        m: usize,
        status: Status,
        lot: i64,
        min_total: i64,
    },
    /// A request over REST or a private socket, and the status of its answer.
    Request {
        t: i64,
        venue: Venue,
        account: Option<u32>,
        method: String,
        path: String,
        status: u16,
    },
    /// An order as it stands after `e`: `new`, `working`, `trade`, `amended` or `ended`.
    Order {
        t: i64,
        c: i64,
        account: u32,
        e: String,
        id: u64,
        client_id: Option<String>,
        symbol: String,
        side: Side,
        state: String,
        executed: i64,
        funds: i64,
        locked: i64,
    },
    /// An order that was refused.
    Refused {
        t: i64,
        account: u32,
        symbol: String,
        client_id: Option<String>,
        why: String,
    },
    /// A fill of an order, which the line before it shows.
    Fill {
        t: i64,
        c: i64,
        account: u32,
        id: u64,
        trade: u64,
        p: i64,
        q: i64,
        funds: i64,
        fee: i64,
        fee_currency: String,
        maker: bool,
    },
    /// Balances that changed: currency, free, locked.
    Balances {
        t: i64,
        c: i64,
        account: u32,
        v: Vec<(String, i64, i64)>,
    },
    /// The script's fault number `f` begins or ends.
    Fault {
        t: i64,
        f: usize,
        on: bool,
        kind: String,
        venue: Option<Venue>,
        symbols: Vec<String>,
    },
    /// It struck.
    Hit {
        t: i64,
        f: usize,
        venue: Venue,
        path: String,
        symbol: Option<String>,
    },
    /// The last line of a log that was closed: how many lines there are.
    End { t: i64, lines: u64 },
}
