//! Who owns what: free and locked, the house that stands for the market's own liquidity, and the fees it earned.
//!
//! What always holds: per venue and currency the sum of everything in here never changes; nothing of a client is
//! negative. It moves what it is told to move; how much that is, the matching says.

use std::collections::{BTreeMap, BTreeSet};

use crossbook_engine::units::{Amount, SCALE};

use super::{Balance, Currency, Venue};
use crate::config::AccountConfig;

/// Wider than an amount: what a client gathers over a long run must not stop the exchange.
#[derive(Debug, Clone, Copy, Default)]
struct Purse {
    free: i128,
    locked: i128,
    /// Mean price of what was bought, 1e-8 of quote.
    avg_buy_price: i64,
}

#[derive(Debug)]
struct Account {
    config: AccountConfig,
    purses: BTreeMap<Currency, Purse>,
    changed: BTreeSet<Currency>,
}

/// Everyone's money.
#[derive(Debug)]
pub(super) struct Accounts {
    list: Vec<Account>,
    /// What the market's own liquidity paid and received; may be negative, nobody asks it.
    house: BTreeMap<(Venue, Currency), i128>,
    fees: BTreeMap<(Venue, Currency), i128>,
}

impl Accounts {
    pub fn new(configs: Vec<AccountConfig>) -> Accounts {
        let list = configs
            .into_iter()
            .map(|config| {
                let purses = config
                    .balances
                    .iter()
                    .map(|(currency, amount)| {
                        let purse = Purse {
                            free: i128::from(amount.raw()),
                            ..Purse::default()
                        };
                        (Currency::from(currency.as_str()), purse)
                    })
                    .collect();
                Account {
                    config,
                    purses,
                    changed: BTreeSet::new(),
                }
            })
            .collect();
        Accounts {
            list,
            house: BTreeMap::new(),
            fees: BTreeMap::new(),
        }
    }

    pub fn config(&self, account: u32) -> Option<&AccountConfig> {
        self.list.get(account as usize).map(|account| &account.config)
    }

    pub fn by_key(&self, venue: Venue, access_key: &str) -> Option<u32> {
        (0u32..)
            .zip(&self.list)
            .find(|(_, account)| account.config.venue == venue && account.config.access_key == access_key)
            .map(|(number, _)| number)
    }

    fn with(&mut self, account: u32, currency: &Currency, change: impl FnOnce(&mut Purse)) {
        if let Some(account) = self.list.get_mut(account as usize) {
            change(account.purses.entry(currency.clone()).or_default());
            account.changed.insert(currency.clone());
        }
    }

    pub fn free(&self, account: u32, currency: &str) -> i64 {
        let account = self.list.get(account as usize);
        account
            .and_then(|account| account.purses.get(currency))
            .map_or(0, |purse| i64::try_from(purse.free).unwrap_or(i64::MAX))
    }

    /// Free and locked together, 1e-8.
    pub fn held(&self, account: u32, currency: &str) -> i128 {
        let account = self.list.get(account as usize);
        account
            .and_then(|account| account.purses.get(currency))
            .map_or(0, |purse| purse.free + purse.locked)
    }

    /// From free to locked; back when negative.
    pub fn lock(&mut self, account: u32, currency: &Currency, amount: i64) {
        self.with(account, currency, |purse| {
            purse.free -= i128::from(amount);
            purse.locked += i128::from(amount);
        });
    }

    /// Out of what is locked.
    pub fn spend(&mut self, account: u32, currency: &Currency, amount: i64) {
        self.with(account, currency, |purse| purse.locked -= i128::from(amount));
    }

    /// Out of what is free.
    pub fn pay(&mut self, account: u32, currency: &Currency, amount: i64) {
        self.with(account, currency, |purse| purse.free -= i128::from(amount));
    }

    /// Into what is free.
    pub fn receive(&mut self, account: u32, currency: &Currency, amount: i64) {
        self.with(account, currency, |purse| purse.free += i128::from(amount));
    }

    /// Base that was bought for `funds`: into what is free, and into the mean price.
    pub fn bought(&mut self, account: u32, currency: &Currency, amount: i64, funds: i64) {
        self.with(account, currency, |purse| {
            let before = purse.free + purse.locked;
            purse.free += i128::from(amount);
            let after = before + i128::from(amount);
            if after > 0 {
                let worth = i128::from(purse.avg_buy_price) * before + i128::from(funds) * i128::from(SCALE);
                purse.avg_buy_price = i64::try_from(worth / after).unwrap_or(i64::MAX);
            }
        });
    }

    /// What the house receives; it pays when negative.
    pub fn house(&mut self, venue: Venue, currency: &Currency, amount: i64) {
        *self.house.entry((venue, currency.clone())).or_default() += i128::from(amount);
    }

    /// What the venue earns.
    pub fn earn(&mut self, venue: Venue, currency: &Currency, amount: i64) {
        *self.fees.entry((venue, currency.clone())).or_default() += i128::from(amount);
    }

    /// All balances of an account that are or were something, by currency.
    pub fn balances(&self, account: u32) -> Vec<Balance> {
        let Some(account) = self.list.get(account as usize) else {
            return Vec::new();
        };
        account
            .purses
            .iter()
            .map(|(currency, purse)| balance(currency, purse))
            .collect()
    }

    /// Balances that changed since the last time, of the first account that has some.
    pub fn take_changed(&mut self) -> Option<(u32, Venue, Vec<Balance>)> {
        let (number, account) = (0u32..)
            .zip(&mut self.list)
            .find(|(_, account)| !account.changed.is_empty())?;
        let changed = std::mem::take(&mut account.changed);
        let balances = changed
            .iter()
            .filter_map(|currency| Some(balance(currency, account.purses.get(currency)?)))
            .collect();
        Some((number, account.config.venue, balances))
    }

    /// Everything there is at a venue, by currency: clients, house and fees together.
    pub fn sums(&self, venue: Venue) -> BTreeMap<Currency, i128> {
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for account in self.list.iter().filter(|account| account.config.venue == venue) {
            for (currency, purse) in &account.purses {
                *sums.entry(currency.clone()).or_default() += purse.free + purse.locked;
            }
        }
        for ((at, currency), amount) in self.house.iter().chain(&self.fees) {
            if *at == venue {
                *sums.entry(currency.clone()).or_default() += amount;
            }
        }
        sums
    }
}

fn balance(currency: &Currency, purse: &Purse) -> Balance {
    // More than an amount can say is shown as the most it can.
    let amount = |wide: i128| Amount::from_wide(wide.min(i128::from(i64::MAX))).unwrap_or(Amount::ZERO);
    Balance {
        currency: currency.clone(),
        free: amount(purse.free),
        locked: amount(purse.locked),
        avg_buy_price: amount(i128::from(purse.avg_buy_price)),
    }
}
