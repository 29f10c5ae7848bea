//! The double-entry ledger: every wallet of every venue, exact to 1e-8, and where each of its movements came from.
//!
//! A wallet is what one venue holds for us of one currency. Each of its movements has a counter posting in one of the
//! venue's counter accounts (opening, market, fees, funding), so the postings of a transaction sum to zero in each
//! currency, and so does the whole ledger. What always holds: a transaction is posted whole or not at all; no balance
//! wraps; the ledger is a function of its postings ([`Ledger::rebuild`] gives an equal one).
//!
//! It does not know prices: [`Ledger::equity`] is told them.

mod mark;

use thiserror::Error;

pub use self::mark::{Conversion, Mark};
use crate::instrument::{CurrencyId, Side, VenueId};
use crate::order::Fill;
use crate::units::{Amount, Overflow, Price, Rounding, SCALE, div_round};

/// Which account of a venue a posting changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AccountKind {
    /// What we hold there. For a perpetual's position unit, the signed position.
    Wallet = 0,
    /// Counter account of the opening balances.
    Opening = 1,
    /// Counter account of trades: what the market took from us is positive.
    Market = 2,
    /// Counter account of fees: what was paid is positive.
    Fees = 3,
    /// Counter account of funding: what was paid is positive.
    Funding = 4,
}

/// How many accounts a venue has per currency.
const KINDS: usize = 5;

impl AccountKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [AccountKind; KINDS] = [
        AccountKind::Wallet,
        AccountKind::Opening,
        AccountKind::Market,
        AccountKind::Fees,
        AccountKind::Funding,
    ];

    /// From its number in a file.
    pub const fn from_code(code: u8) -> Option<AccountKind> {
        if (code as usize) < KINDS {
            Some(AccountKind::ALL[code as usize])
        } else {
            None
        }
    }
}

/// An account, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Its venue.
    pub venue: VenueId,
    /// Its currency.
    pub currency: CurrencyId,
    /// Wallet, or which counter account.
    pub kind: AccountKind,
}

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PostingKind {
    /// A balance that was there at the start.
    Opening = 0,
    /// Base or quote of a fill.
    Trade = 1,
    /// Fee of a fill.
    Fee = 2,
    /// Funding of a perpetual.
    Funding = 3,
}

impl PostingKind {
    /// From its number in a file.
    pub const fn from_code(code: u8) -> Option<PostingKind> {
        Some(match code {
            0 => PostingKind::Opening,
            1 => PostingKind::Trade,
            2 => PostingKind::Fee,
            3 => PostingKind::Funding,
            _ => return None,
        })
    }

    /// The counter account of a movement of this kind.
    const fn counter(self) -> AccountKind {
        match self {
            PostingKind::Opening => AccountKind::Opening,
            PostingKind::Trade => AccountKind::Market,
            PostingKind::Fee => AccountKind::Fees,
            PostingKind::Funding => AccountKind::Funding,
        }
    }
}

/// One line of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Posting {
    /// Number of the transaction, from 0 (the opening balances), without holes.
    pub transaction: u64,
    /// The account that changes.
    pub account: Account,
    /// By how much.
    pub amount: Amount,
    /// Why.
    pub kind: PostingKind,
}

/// Why a posting, a check or a valuation failed. Each of them stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// A balance would leave the range of an `i64`.
    #[error("venue {}, currency {}: {kind:?} balance does not fit 64 bits of 1e-8", venue.0, currency.0)]
    Overflow {
        /// Venue of the account.
        venue: VenueId,
        /// Currency of the account.
        currency: CurrencyId,
        /// Kind of the account.
        kind: AccountKind,
    },
    /// A value in the base currency of the run does not fit.
    #[error("value in the base currency: {0}")]
    Value(#[from] Overflow),
    /// A venue or a currency that the run does not have.
    #[error("no account for venue {}, currency {}", venue.0, currency.0)]
    NoAccount {
        /// The venue asked for.
        venue: VenueId,
        /// The currency asked for.
        currency: CurrencyId,
    },
    /// Something is held that has no mark.
    #[error("venue {}, currency {}: held, but without a price to value it", venue.0, currency.0)]
    NoMark {
        /// Venue of the wallet.
        venue: VenueId,
        /// Its currency.
        currency: CurrencyId,
    },
    /// The postings of a transaction do not sum to zero in a currency.
    #[error("transaction {transaction}: postings in currency {} sum to {sum} steps of 1e-8, not zero", currency.0)]
    Unbalanced {
        /// The transaction.
        transaction: u64,
        /// The currency.
        currency: CurrencyId,
        /// What they sum to.
        sum: i128,
    },
    /// A posting list that is not in the order in which a ledger writes it.
    #[error("posting of transaction {found} where {expected} was expected")]
    OutOfOrder {
        /// The transaction number that would have come next.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// A wallet is not opening plus movements: memory was damaged, or this module has a bug.
    #[error("venue {}, currency {}: accounts sum to {sum} steps of 1e-8, not zero", venue.0, currency.0)]
    NotConserved {
        /// The venue.
        venue: VenueId,
        /// The currency.
        currency: CurrencyId,
        /// What they sum to.
        sum: i128,
    },
}

/// The accounts of a run. See the module for what always holds.
#[derive(Debug, Clone)]
pub struct Ledger {
    venues: usize,
    currencies: usize,
    /// Balance per venue, currency and account kind.
    balances: Vec<i64>,
    /// Transactions posted.
    transactions: u64,
    /// Lines posted.
    postings: u64,
    /// The newest transaction; kept to be read by a digest or a journal, not part of the state.
    last: Vec<Posting>,
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Ledger) -> bool {
        (self.venues, self.currencies, self.transactions, self.postings)
            == (other.venues, other.currencies, other.transactions, other.postings)
            && self.balances == other.balances
    }
}

impl Eq for Ledger {}

impl Ledger {
    /// A ledger over venues `0..venues` and currencies `0..currencies`, with these opening balances as transaction 0,
    /// which [`Ledger::last_transaction`] then shows. The same wallet given twice is added up.
    ///
    /// # Errors
    /// [`LedgerError::NoAccount`] for an id outside the run, [`LedgerError::Overflow`].
    pub fn new(
        venues: usize,
        currencies: usize,
        opening: &[(VenueId, CurrencyId, Amount)],
    ) -> Result<Ledger, LedgerError> {
        let mut ledger = Ledger::empty(venues, currencies);
        for &(venue, currency, amount) in opening {
            ledger.stage(venue, currency, amount, PostingKind::Opening)?;
        }
        ledger.commit()?;
        Ok(ledger)
    }

    fn empty(venues: usize, currencies: usize) -> Ledger {
        Ledger {
            venues,
            currencies,
            balances: vec![0; venues * currencies * KINDS],
            transactions: 0,
            postings: 0,
            last: Vec::with_capacity(8),
        }
    }

    /// The ledger that these postings describe: equal to the one that made them.
    ///
    /// # Errors
    /// When a transaction does not sum to zero in each currency, when numbers are missing or go back, when an account
    /// is unknown, or on overflow.
    pub fn rebuild(
        venues: usize,
        currencies: usize,
        postings: impl IntoIterator<Item = Posting>,
    ) -> Result<Ledger, LedgerError> {
        let mut ledger = Ledger::empty(venues, currencies);
        for posting in postings {
            if posting.transaction == ledger.transactions + 1 {
                ledger.commit()?;
                ledger.last.clear();
            }
            if posting.transaction != ledger.transactions {
                return Err(LedgerError::OutOfOrder {
                    expected: ledger.transactions,
                    found: posting.transaction,
                });
            }
            ledger.last.push(posting);
        }
        ledger.commit()?;
        Ok(ledger)
    }

    /// Posts a fill at a venue: base against quote through the market account, and its fee.
    ///
    /// # Errors
    /// [`LedgerError::Overflow`], [`LedgerError::NoAccount`]; nothing is posted then.
    pub fn post_fill(
        &mut self,
        venue: VenueId,
        fill: &Fill,
        base: CurrencyId,
        quote: CurrencyId,
    ) -> Result<(), LedgerError> {
        let [base_change, quote_change, fee_change] = fill_changes(fill)?;
        self.last.clear();
        self.stage(venue, base, base_change, PostingKind::Trade)?;
        self.stage(venue, quote, quote_change, PostingKind::Trade)?;
        self.stage(venue, fill.fee_currency, fee_change, PostingKind::Fee)?;
        self.commit()
    }

    /// Posts a funding payment: what we receive is positive, what we pay negative.
    ///
    /// # Errors
    /// [`LedgerError::Overflow`], [`LedgerError::NoAccount`]; nothing is posted then.
    pub fn post_funding(&mut self, venue: VenueId, quote: CurrencyId, received: Amount) -> Result<(), LedgerError> {
        self.last.clear();
        self.stage(venue, quote, received, PostingKind::Funding)?;
        self.commit()
    }

    /// What the venue holds for us of the currency (the signed position, for a perpetual's unit); zero for an unknown one.
    #[inline]
    pub fn balance(&self, venue: VenueId, currency: CurrencyId) -> Amount {
        self.account(Account {
            venue,
            currency,
            kind: AccountKind::Wallet,
        })
    }

    /// What the wallet held at the start.
    pub fn opening(&self, venue: VenueId, currency: CurrencyId) -> Amount {
        let counter = self.account(Account {
            venue,
            currency,
            kind: AccountKind::Opening,
        });
        amount(counter.raw().saturating_neg())
    }

    /// Balance of any account; zero for an unknown one.
    pub fn account(&self, account: Account) -> Amount {
        self.index(account)
            .and_then(|at| self.balances.get(at))
            .map_or(Amount::ZERO, |&raw| amount(raw))
    }

    /// Sum of one currency's wallets over all venues.
    ///
    /// # Errors
    /// [`LedgerError::Value`] when the sum does not fit.
    pub fn total(&self, currency: CurrencyId) -> Result<Amount, LedgerError> {
        let sum = self
            .venue_ids()
            .map(|venue| i128::from(self.balance(venue, currency).raw()))
            .sum();
        Ok(Amount::from_wide(sum)?)
    }

    /// The postings of the newest transaction, in order.
    pub fn last_transaction(&self) -> &[Posting] {
        &self.last
    }

    /// How many transactions were posted, the opening included.
    pub fn transactions(&self) -> u64 {
        self.transactions
    }

    /// How many postings were made.
    pub fn postings(&self) -> u64 {
        self.postings
    }

    /// Checks conservation (law C4): for each venue and currency, opening plus movements is the wallet's balance, and
    /// so all accounts sum to zero in each currency.
    ///
    /// # Errors
    /// [`LedgerError::NotConserved`] with the first account that does not add up.
    pub fn verify(&self) -> Result<(), LedgerError> {
        for (at, accounts) in self.balances.chunks_exact(KINDS).enumerate() {
            let sum: i128 = accounts.iter().map(|&raw| i128::from(raw)).sum();
            if sum != 0 {
                return Err(LedgerError::NotConserved {
                    venue: VenueId((at / self.currencies) as u8),
                    currency: CurrencyId((at % self.currencies) as u16),
                    sum,
                });
            }
        }
        Ok(())
    }

    /// BLAKE3 over all balances and counts: equal ledgers have equal hashes, on any machine.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"crossbook.ledger.1");
        for count in [
            self.venues as u64,
            self.currencies as u64,
            self.transactions,
            self.postings,
        ] {
            hasher.update(&count.to_le_bytes());
        }
        for raw in &self.balances {
            hasher.update(&raw.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Value of everything held, in the run's base currency. `mark` says what a unit of a venue's currency is worth;
    /// it is only asked about what is held. Each wallet's value is rounded down to 1e-8.
    ///
    /// # Errors
    /// [`LedgerError::NoMark`] when something held has no mark, [`LedgerError::Value`] on overflow.
    pub fn equity(&self, mark: impl Fn(VenueId, CurrencyId) -> Option<Mark>) -> Result<Amount, LedgerError> {
        self.value(mark, Ledger::balance)
    }

    /// Value that the opening inventory would have at these marks: what doing nothing would have come to.
    ///
    /// # Errors
    /// As [`Ledger::equity`].
    pub fn hold(&self, mark: impl Fn(VenueId, CurrencyId) -> Option<Mark>) -> Result<Amount, LedgerError> {
        self.value(mark, Ledger::opening)
    }

    fn value(
        &self,
        mark: impl Fn(VenueId, CurrencyId) -> Option<Mark>,
        held: impl Fn(&Ledger, VenueId, CurrencyId) -> Amount,
    ) -> Result<Amount, LedgerError> {
        let mut sum: i128 = 0;
        for venue in self.venue_ids() {
            for currency in self.currency_ids() {
                let held = held(self, venue, currency);
                if held == Amount::ZERO {
                    continue;
                }
                let mark = mark(venue, currency).ok_or(LedgerError::NoMark { venue, currency })?;
                sum += i128::from(mark.value(held)?.raw());
            }
        }
        Ok(Amount::from_wide(sum)?)
    }

    fn venue_ids(&self) -> impl Iterator<Item = VenueId> + use<> {
        (0..self.venues).map(|index| VenueId(index as u8))
    }

    fn currency_ids(&self) -> impl Iterator<Item = CurrencyId> + use<> {
        (0..self.currencies).map(|index| CurrencyId(index as u16))
    }

    fn index(&self, account: Account) -> Option<usize> {
        let (venue, currency) = (account.venue.index(), account.currency.index());
        (venue < self.venues && currency < self.currencies)
            .then(|| (venue * self.currencies + currency) * KINDS + account.kind as usize)
    }

    /// Adds a movement of a wallet and its counter posting to the transaction being made.
    fn stage(
        &mut self,
        venue: VenueId,
        currency: CurrencyId,
        change: Amount,
        kind: PostingKind,
    ) -> Result<(), LedgerError> {
        if change == Amount::ZERO {
            return Ok(());
        }
        let opposite = change.checked_neg()?;
        for (account_kind, amount) in [(AccountKind::Wallet, change), (kind.counter(), opposite)] {
            self.last.push(Posting {
                transaction: self.transactions,
                account: Account {
                    venue,
                    currency,
                    kind: account_kind,
                },
                amount,
                kind,
            });
        }
        Ok(())
    }

    /// Posts the staged transaction whole, or leaves every balance as it was.
    fn commit(&mut self) -> Result<(), LedgerError> {
        if self.last.is_empty() && self.transactions > 0 {
            // Nothing moved: a transaction without postings would be a hole in the numbers.
            return Ok(());
        }
        let staged = std::mem::take(&mut self.last);
        let posted = self.check_zero_sum(&staged).and_then(|()| {
            for (done, posting) in staged.iter().enumerate() {
                if let Err(error) = self.apply(posting.account, posting.amount.raw()) {
                    for posting in staged[..done].iter().rev() {
                        // Returns to a value that was there a moment ago, so it fits.
                        let _ = self.apply(posting.account, posting.amount.raw().wrapping_neg());
                    }
                    return Err(error);
                }
            }
            Ok(())
        });
        self.last = staged;
        match posted {
            Ok(()) => {
                self.transactions += 1;
                self.postings += self.last.len() as u64;
            }
            Err(_) => self.last.clear(),
        }
        posted
    }

    fn check_zero_sum(&self, staged: &[Posting]) -> Result<(), LedgerError> {
        for posting in staged {
            let currency = posting.account.currency;
            let sum: i128 = staged
                .iter()
                .filter(|other| other.account.currency == currency)
                .map(|other| i128::from(other.amount.raw()))
                .sum();
            if sum != 0 {
                return Err(LedgerError::Unbalanced {
                    transaction: posting.transaction,
                    currency,
                    sum,
                });
            }
        }
        Ok(())
    }

    fn apply(&mut self, account: Account, change: i64) -> Result<(), LedgerError> {
        let Account { venue, currency, kind } = account;
        let at = self.index(account).ok_or(LedgerError::NoAccount { venue, currency })?;
        let next = self.balances[at].checked_add(change);
        self.balances[at] = next.ok_or(LedgerError::Overflow { venue, currency, kind })?;
        Ok(())
    }
}

/// What a fill changes in the wallets: base, quote (without the fee) and fee currency.
///
/// # Errors
/// [`Overflow`] for the one amount that has no opposite.
pub fn fill_changes(fill: &Fill) -> Result<[Amount; 3], Overflow> {
    let base: Amount = fill.qty.into();
    let fee = fill.fee.checked_neg()?;
    Ok(match fill.side {
        Side::Buy => [base, fill.notional.checked_neg()?, fee],
        Side::Sell => [base.checked_neg()?, fill.notional, fee],
    })
}

/// What a position receives when funding falls due: `-(position * mark * rate)`, rounded down (what is paid, up).
/// `rate` is a share counted in 1e-8; positive means that longs pay.
///
/// # Errors
/// [`Overflow`] when the product or the result does not fit.
pub fn funding_received(position: Amount, mark: Price, rate: i64) -> Result<Amount, Overflow> {
    let value = i128::from(position.raw()) * i128::from(mark.raw());
    let paid = value.checked_mul(i128::from(rate)).ok_or(Overflow)?;
    let divisor = i128::from(SCALE) * i128::from(SCALE);
    let received = paid.checked_neg().ok_or(Overflow)?;
    Amount::from_wide(div_round(received, divisor, Rounding::Down))
}

/// From a raw count; every `i64` is an amount.
fn amount(raw: i64) -> Amount {
    Amount::from_raw(raw).unwrap_or(Amount::ZERO)
}

#[cfg(test)]
mod tests;
