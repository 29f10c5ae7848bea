//! Reducing an order that rests, without losing its place (Binance's `order/amend/keepPriority`).
//!
//! Source: binance-spot-api-docs, order amend keep priority FAQ (read 2026-11-21). What always holds: a refused amendment
//! changes nothing; one that is taken leaves something to be filled.

use crossbook_engine::units::{Qty, Rounding, notional};

use super::{AccountEventKind, Amend, Exchange, Notice, OrderKind, OrderRef, OrderView, Reject, Status};

impl Exchange {
    /// Reduces an open limit order to `qty`, what was filled included, and gives it another client id.
    ///
    /// # Errors
    /// When there is no such order, the quantity is not less than it has, or breaks a rule of its market.
    pub fn amend(
        &mut self,
        account: u32,
        by: OrderRef<'_>,
        qty: Qty,
        client_id: String,
        out: &mut Vec<Notice>,
    ) -> Result<OrderView, Reject> {
        let id = self.orders.find(account, by).ok_or(Reject::UnknownOrder)?;
        let (market, old_qty) = self.check_amend(id, qty, &client_id)?;
        let now = self.clock();
        let execution = self.orders.next_execution();
        let less = old_qty.saturating_sub(qty);
        let order = self.orders.all.get_mut(&id).ok_or(Reject::UnknownOrder)?;
        if let OrderKind::Limit { qty: whole, .. } = &mut order.view.order.kind {
            *whole = qty;
        }
        order.left = order.left.saturating_sub(less);
        order.view.updated = now;
        let old_client_id = order.view.order.client_id.replace(client_id.clone());
        order.view.amends.push(Amend {
            execution,
            ts: now,
            old_client_id: old_client_id.clone(),
            client_id,
            old_qty,
            qty,
        });
        self.orders.rename(id, old_client_id);
        self.shrink_resting(id, less);
        self.relock(id);
        self.tell_order(id, AccountEventKind::Amended, out);
        self.publish(market, out);
        self.tell_balances(out);
        let order = self.orders.all.get(&id).ok_or(Reject::UnknownOrder)?;
        Ok(order.view.clone())
    }

    /// The order's market, and its quantity so far.
    fn check_amend(&self, id: u64, qty: Qty, client_id: &str) -> Result<(usize, Qty), Reject> {
        let order = self.orders.all.get(&id).ok_or(Reject::UnknownOrder)?;
        let (view, info) = (&order.view, &self.infos[order.market]);
        let OrderKind::Limit { price, qty: old_qty } = view.order.kind else {
            return Err(Reject::NotOpen);
        };
        if !view.state.is_open() {
            return Err(Reject::NotOpen);
        }
        if info.status != Status::Trading {
            return Err(Reject::NotTrading);
        }
        if qty > old_qty {
            return Err(Reject::AmendIncrease);
        }
        if qty == old_qty {
            return Err(Reject::AmendNothing);
        }
        if view.amends.len() >= self.binance.most_amends {
            return Err(Reject::TooManyAmends);
        }
        // Something has to be left: no document says what an order would be that is filled by its own amendment.
        let gone = old_qty.saturating_sub(order.left);
        if qty < info.min_qty || qty.floor_to(info.lot) != qty || qty <= gone {
            return Err(Reject::BadQty);
        }
        let total = notional(price, qty, Rounding::Down).map_err(|_| Reject::OverMaxTotal)?;
        if total < info.min_total {
            return Err(Reject::UnderMinTotal);
        }
        if view.order.client_id.as_deref() != Some(client_id) && self.orders.is_taken(view.account, client_id) {
            return Err(Reject::DuplicateClientId);
        }
        Ok((order.market, old_qty))
    }
}
