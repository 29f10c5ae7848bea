//! The engine as a user of the library sees it: hand-built streams through [`crossbook_engine::replay::replay`], with the
//! simulated venues, against values computed by hand.
//!
//! The default world of [`dsl::World::pair`]: A is BTC in KRW, B is BTC in USDT, one USDT is 1,000 KRW, no fees, orders and
//! reports take 10 ms at A and 20 ms at B. Times are milliseconds of receipt.

mod attribution;
mod chaos;
mod dsl;
mod exits;
mod fx;
mod legs;
mod maker;
mod many;
mod sizing;
mod tape;
mod venues;
