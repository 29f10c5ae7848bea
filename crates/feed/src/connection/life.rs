//! One connection from its first byte to its last: made, subscribed, read, and always told the end of.
//!
//! What always holds: every data frame that was read is handed on, whole, in order and stamped right after it was read,
//! or the connection ends and says so; `Open` comes before the first frame and `Closed` after the last; every wait has
//! a limit. When to connect again is not decided here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::counts::{Counters, add};
use super::dial::{Dial, Socket, open};
use super::gate::Gate;
use super::reader::Reader;
use super::subscribe::Plan;
use crate::clock::{Clock, Stamp};
use crate::error::FeedError;
use crate::input::{Body, ConnId, Input, InputSender, LinkEvent, VenueIx};
use crate::venue::VenueConfig;

/// What all connections of a venue have in common.
pub(super) struct Shared<D> {
    pub config: VenueConfig,
    pub venue: VenueIx,
    pub clock: Clock,
    pub dial: D,
    pub tls: Arc<ClientConfig>,
    pub gate: Gate,
    pub out: InputSender,
}

impl<D> Shared<D> {
    pub fn input(&self, stamp: Stamp, body: Body) -> Input {
        Input {
            stamp,
            venue: self.venue,
            body,
        }
    }

    pub fn link(&self, conn: ConnId, event: LinkEvent) -> Input {
        self.input(self.clock.now(), Body::Link { conn, event })
    }

    /// How long a close frame may take, and the last word when nobody listens any more.
    pub fn parting(&self) -> Duration {
        Duration::from_millis(self.config.timers.pong_ms.min(1_000))
    }
}

/// What its lane tells a connection.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// Go on.
    Run {
        /// Whom it is to take over from.
        takes_over: Option<ConnId>,
    },
    /// Another has taken over: end without an error at this time.
    Superseded(Instant),
    /// Give it up for this reason.
    GiveUp(FeedError),
    /// Everything ends.
    Stop,
}

/// What a connection tells its lane while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// Every stream that must speak has spoken.
    Live,
    /// It is old, or the venue announced its end: another should take over.
    Replace,
}

/// What a connection was, once it is over.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Whether it ever opened; if so it has told its own end.
    pub opened: bool,
    /// For how long it was live.
    pub lived: Option<Duration>,
    /// Why it ended, unless that was planned.
    pub error: Option<FeedError>,
    /// Nobody reads what it sends.
    pub unread: bool,
    /// Streams for which it gave up while others spoke.
    pub silent: BTreeSet<String>,
}

/// How it ended.
pub(super) enum End {
    /// Another has taken over.
    Over,
    /// It was lost, or had to be given up.
    Lost(FeedError),
    /// Everything ends.
    Stop,
    /// Nobody reads what we send.
    Unread,
}

/// What a connection needs.
pub(super) struct Life<D> {
    pub shared: Arc<Shared<D>>,
    pub plan: Arc<Plan>,
    pub counters: Arc<Counters>,
    pub conn: ConnId,
    pub ticket: String,
    /// Streams that are not waited for.
    pub unheard: BTreeSet<String>,
    pub orders: watch::Receiver<Order>,
    pub reports: mpsc::Sender<(ConnId, Report)>,
}

impl<D: Dial> Life<D> {
    /// Lives it.
    pub async fn run(mut self) -> Ended {
        let mut ended = Ended::default();
        let shared = Arc::clone(&self.shared);
        let made = tokio::select! {
            biased;
            end = ordered(&mut self.orders) => Err(end),
            made = make(&shared, &self.counters, &self.plan) => made.map_err(End::Lost),
        };
        let (end, live_since, superseded) = match made {
            Ok(socket) => {
                let mut reader = Reader::new(socket, &shared, &self);
                let end = reader.run(&mut self, &mut ended).await;
                let (live_since, superseded) = (reader.live_since, reader.until.is_some());
                reader.part(&end, shared.parting()).await;
                (end, live_since, superseded)
            }
            Err(end) => (end, None, false),
        };
        ended.lived = live_since.map(|at: Instant| at.elapsed());
        match end {
            End::Lost(error) if !superseded => ended.error = Some(error),
            End::Lost(_) | End::Over | End::Stop => {}
            End::Unread => ended.unread = true,
        }
        if ended.opened && !ended.unread {
            self.tell_end(LinkEvent::Closed {
                error: ended.error.clone(),
            })
            .await;
        }
        ended
    }

    /// The end must be heard, however long the queue stays full; only when everything ends it is said once more and
    /// left at that. The socket is gone by now, so waiting costs nobody anything.
    async fn tell_end(&mut self, event: LinkEvent) {
        let input = self.shared.link(self.conn, event);
        let out = &self.shared.out;
        let permit = tokio::select! {
            biased;
            permit = out.reserve() => permit.ok(),
            () = stopped(&mut self.orders) => match timeout(self.shared.parting(), out.reserve()).await {
                Ok(permit) => permit.ok(),
                Err(_) => None,
            },
        };
        if let Some(permit) = permit {
            permit.send(input);
        }
    }
}

async fn make<D: Dial>(shared: &Shared<D>, counters: &Counters, plan: &Plan) -> Result<Socket<D::Stream>, FeedError> {
    shared.gate.pass().await;
    add(&counters.attempts, 1);
    open(&shared.dial, &shared.tls, plan, &shared.config).await
}

/// Waits for an order that ends a connection.
pub(super) async fn ordered(orders: &mut watch::Receiver<Order>) -> End {
    loop {
        match &*orders.borrow_and_update() {
            Order::Stop => return End::Stop,
            Order::GiveUp(error) => return End::Lost(error.clone()),
            Order::Run { .. } | Order::Superseded(_) => {}
        }
        if orders.changed().await.is_err() {
            return End::Stop;
        }
    }
}

async fn stopped(orders: &mut watch::Receiver<Order>) {
    // An error says that the lane is gone, which is a stop too.
    let _ = orders.wait_for(|order| matches!(order, Order::Stop)).await;
}
