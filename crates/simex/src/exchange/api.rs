//! What the dialects ask of the exchange, and what it tells them.

use std::sync::Arc;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::{Side, TickRule};
use crossbook_engine::units::{Amount, Bps, Price, Qty, TimestampNs};

use crate::faults::FaultNotice;

/// Which of the two venues; each has its own markets, accounts and order numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Venue {
    /// Upbit.
    Upbit,
    /// Binance spot.
    Binance,
    /// Binance USD-M perpetuals.
    BinanceUsdm,
}

/// A market of a venue, in the venue's own spelling (`KRW-BTC`, `BTCUSDT`).
pub type Symbol = Arc<str>;

/// A currency as the venues spell it (`KRW`, `BTC`).
pub type Currency = Arc<str>;

/// Something that the exchange tells whoever serves its sockets, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Notice {
    /// To everyone who listens to the market.
    Market(MarketEvent),
    /// To the account's private streams.
    Account(AccountEvent),
    /// A fault of the script begins or ends; the sockets do what is theirs to do (reset, close, ping flood).
    Fault(FaultNotice),
}

/// A market as its venue lists it. Changes while running are announced by [`MarketEventKind::Rules`].
#[derive(Debug, Clone, PartialEq)]
pub struct MarketInfo {
    /// Where.
    pub venue: Venue,
    /// The venue's spelling.
    pub symbol: Symbol,
    /// What is bought and sold.
    pub base: Currency,
    /// What is paid.
    pub quote: Currency,
    /// The base's name in Korean.
    pub korean_name: Arc<str>,
    /// The base's name in English.
    pub english_name: Arc<str>,
    /// Grid of prices.
    pub tick: TickRule,
    /// Step of quantities.
    pub lot: Qty,
    /// Smallest quantity of an order.
    pub min_qty: Qty,
    /// Largest quantity of an order.
    pub max_qty: Qty,
    /// Smallest `price * qty` of an order.
    pub min_total: Amount,
    /// Largest `price * qty` of an order.
    pub max_total: Amount,
    /// What may be done now.
    pub status: Status,
    /// Fee of a resting order, as a share of its funds.
    pub maker_fee: Bps,
    /// Fee of a taking order, as a share of its funds.
    pub taker_fee: Bps,
}

/// A trade as the market's history keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicTrade {
    /// Number within the market; grows by one.
    pub id: u64,
    /// When, on the exchange's clock.
    pub ts: TimestampNs,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// The side that took.
    pub taker: Side,
}

/// Something that happened in a market; the same for every dialect and listener.
#[derive(Debug, Clone)]
pub struct MarketEvent {
    /// Where.
    pub venue: Venue,
    /// In which market.
    pub symbol: Symbol,
    /// On the exchange's clock.
    pub ts: TimestampNs,
    /// What.
    pub kind: MarketEventKind,
}

/// What happened in a market.
#[derive(Debug, Clone)]
pub enum MarketEventKind {
    /// Levels changed: new absolute quantities, zero removes. Ids continue without a hole.
    Book {
        /// First update id (`U`).
        first_id: u64,
        /// Last update id (`u`).
        last_id: u64,
        /// Changed bids.
        bids: Arc<[Level]>,
        /// Changed asks.
        asks: Arc<[Level]>,
    },
    /// A trade.
    Trade {
        /// Number within the market.
        id: u64,
        /// Price.
        price: Price,
        /// Quantity.
        qty: Qty,
        /// The side that took.
        taker: Side,
    },
    /// Mark price and funding of a perpetual.
    Mark {
        /// Mark price.
        mark: Price,
        /// Next funding rate, 1e-8.
        rate: i64,
        /// When it falls due.
        next: TimestampNs,
    },
    /// Trading in the market changed: its status or its rules.
    Rules,
}

/// A book as it stands.
#[derive(Debug, Clone)]
pub struct BookView {
    /// Last update id in it.
    pub last_id: u64,
    /// When it last changed.
    pub ts: TimestampNs,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
}

/// What may be done in a market now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Everything.
    Trading,
    /// Only cancels; the book that is shown stands still.
    CancelOnly,
    /// Nothing; the book stands still.
    Halted,
    /// It is gone from the lists.
    Delisted,
}

/// How an order is to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// At a price or better; the rest rests (or not, by [`TimeInForce`]).
    Limit {
        /// The price.
        price: Price,
        /// The quantity.
        qty: Qty,
    },
    /// A quantity of base at any price.
    MarketQty {
        /// The quantity.
        qty: Qty,
    },
    /// Quote currency to spend (Upbit's market buy, Binance's `quoteOrderQty`).
    MarketFunds {
        /// How much.
        funds: Amount,
    },
}

/// What happens when an order meets one of the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfMatch {
    /// They trade.
    Allow,
    /// The resting one is taken out (Upbit `cancel_maker`, Binance `EXPIRE_MAKER`); the default of both venues.
    CancelMaker,
    /// What is left of the taking one is taken out.
    CancelTaker,
    /// Both are taken out.
    CancelBoth,
    /// Both lose the smaller of the two quantities (Upbit `reduce`, Binance `DECREMENT`).
    Reduce,
}

/// How long a limit order lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until cancelled.
    Gtc,
    /// What does not fill at once is cancelled.
    Ioc,
    /// All at once or nothing.
    Fok,
    /// Rests or is refused.
    PostOnly,
}

/// Which way the market has to come for a stop order to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// Against the order: up for a buy, down for a sell (`STOP_LOSS`).
    Loss,
    /// Towards it: down for a buy, up for a sell (`TAKE_PROFIT`).
    Profit,
}

/// What an order waits for before it begins to work (Binance's stop orders).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Which way.
    pub kind: StopKind,
    /// The price of a trade, this or beyond.
    pub price: Price,
}

impl Stop {
    /// Whether a trade at this price lets an order of this side begin.
    pub fn is_reached(self, side: Side, last: Price) -> bool {
        match (self.kind, side) {
            (StopKind::Loss, Side::Buy) | (StopKind::Profit, Side::Sell) => last >= self.price,
            (StopKind::Loss, Side::Sell) | (StopKind::Profit, Side::Buy) => last <= self.price,
        }
    }
}

/// An order that a client sends.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Which market.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How.
    pub kind: OrderKind,
    /// For how long.
    pub tif: TimeInForce,
    /// The client's own id.
    pub client_id: Option<String>,
    /// What happens when it meets one of the same account. It looks at the taking order.
    pub self_match: SelfMatch,
    /// What it waits for before all that.
    pub stop: Option<Stop>,
}

/// How a client names an order of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderRef<'a> {
    /// By the exchange's number.
    Id(u64),
    /// By the client's id; the newest one that has it.
    ClientId(&'a str),
}

/// Which orders of an account are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderFilter {
    /// Those that rest.
    Open,
    /// Those that have ended.
    Closed,
    /// All.
    All,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Rests, filled in part or not at all.
    Open,
    /// Filled whole.
    Filled,
    /// Cancelled by its owner.
    Cancelled,
    /// Ended by its own terms (IOC, FOK, funds spent) with something left.
    Expired,
    /// Ended because it met an order of its own account.
    Prevented,
    /// Ended because it would have traded too far from the reference price (Binance's price range rule).
    OutOfRange,
}

impl OrderState {
    /// Whether it can still be filled or cancelled.
    pub const fn is_open(self) -> bool {
        matches!(self, OrderState::Open)
    }
}

/// An order as the exchange has it.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// The exchange's number, unique at the venue.
    pub id: u64,
    /// Whose.
    pub account: u32,
    /// As it was sent.
    pub order: NewOrder,
    /// Where it stands.
    pub state: OrderState,
    /// Base that was filled.
    pub executed: Qty,
    /// Quote that was exchanged for it.
    pub executed_funds: Amount,
    /// Base that was taken off because it met an order of its own account.
    pub prevented: Qty,
    /// Fee paid in `fee_currency`; fees that were paid in BNB stand with the fills only.
    pub fee: Amount,
    /// Currency of the fee.
    pub fee_currency: Currency,
    /// The part of `locked` that is kept for fees still to come (Upbit's buys).
    pub reserved_fee: Amount,
    /// Funds still locked, in `locked_currency`.
    pub locked: Amount,
    /// Currency of what is locked.
    pub locked_currency: Currency,
    /// What was still locked when it ended with something left.
    pub released: Amount,
    /// When it was taken.
    pub created: TimestampNs,
    /// When it last changed.
    pub updated: TimestampNs,
    /// Since when it works; none for a stop order whose price was not reached.
    pub working: Option<TimestampNs>,
    /// Its fills, oldest first.
    pub fills: Vec<Fill>,
    /// Reductions that kept its place, oldest first (Binance).
    pub amends: Vec<Amend>,
}

/// A reduction of an order that kept its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amend {
    /// Number, unique at the exchange.
    pub execution: u64,
    /// When.
    pub ts: TimestampNs,
    /// The client's id before.
    pub old_client_id: Option<String>,
    /// The client's id from then on.
    pub client_id: String,
    /// The order's quantity before, what was filled included.
    pub old_qty: Qty,
    /// The order's quantity from then on.
    pub qty: Qty,
}

/// A fill of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Number of the trade within the market.
    pub trade_id: u64,
    /// When.
    pub ts: TimestampNs,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// `price * qty`, rounded as the venue does.
    pub funds: Amount,
    /// Fee.
    pub fee: Amount,
    /// Currency of the fee.
    pub fee_currency: Currency,
    /// Whether the order was the resting one.
    pub maker: bool,
}

/// Why an order or a cancel was refused; the dialects spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// No such market.
    #[error("unknown market")]
    UnknownMarket,
    /// The market does not trade now.
    #[error("market is not trading")]
    NotTrading,
    /// Not enough free balance.
    #[error("insufficient funds")]
    InsufficientFunds,
    /// Below the least total.
    #[error("under the minimum total")]
    UnderMinTotal,
    /// Above the greatest total.
    #[error("over the maximum total")]
    OverMaxTotal,
    /// The price is off the grid or out of bounds.
    #[error("bad price")]
    BadPrice,
    /// The quantity is off the grid or out of bounds.
    #[error("bad quantity")]
    BadQty,
    /// A post-only order would have taken.
    #[error("would take")]
    WouldTake,
    /// The client's id was used before (Upbit: ever; Binance: by an open order).
    #[error("duplicate client id")]
    DuplicateClientId,
    /// Too many open orders.
    #[error("too many open orders")]
    TooManyOrders,
    /// No such order, or it is someone else's.
    #[error("unknown order")]
    UnknownOrder,
    /// The order has ended.
    #[error("order is not open")]
    NotOpen,
    /// The price is too far from the reference price.
    #[error("price too far from the reference")]
    PercentPrice,
    /// The same, where buys and sells have bounds of their own.
    #[error("price too far from the reference for its side")]
    PercentPriceBySide,
    /// The account would hold too much of the base.
    #[error("position too large")]
    MaxPosition,
    /// The order is larger than the account may send of this currency.
    #[error("too much of an asset")]
    MaxAsset,
    /// Too many open stop orders.
    #[error("too many open stop orders")]
    TooManyStops,
    /// A stop order would begin at once.
    #[error("would trigger")]
    WouldTrigger,
    /// An amendment asks for more than the order has.
    #[error("an amendment only reduces")]
    AmendIncrease,
    /// An amendment asks for what the order has.
    #[error("nothing to amend")]
    AmendNothing,
    /// The order was amended as often as it may be.
    #[error("too many amendments")]
    TooManyAmends,
}

/// Something that happened to an account; goes to its private streams.
#[derive(Debug, Clone)]
pub struct AccountEvent {
    /// Where.
    pub venue: Venue,
    /// Whose.
    pub account: u32,
    /// When.
    pub ts: TimestampNs,
    /// What.
    pub kind: AccountEventKind,
}

/// What happened to an account.
#[derive(Debug, Clone)]
pub enum AccountEventKind {
    /// An order was taken.
    New(OrderView),
    /// It was filled (the last of its fills is news).
    Trade(OrderView),
    /// The price that it waited for was reached.
    Working(OrderView),
    /// It was reduced and kept its place (the last of its amendments is news).
    Amended(OrderView),
    /// It came to its end otherwise.
    Ended(OrderView),
    /// Balances after that, of the currencies that changed.
    Balances(Vec<Balance>),
}

/// A balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Currency.
    pub currency: Currency,
    /// Free.
    pub free: Amount,
    /// Locked by open orders.
    pub locked: Amount,
    /// Mean price at which it was bought, in quote (Upbit shows it).
    pub avg_buy_price: Amount,
}
