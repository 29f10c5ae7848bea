//! The servers: real sockets on loopback, one address a venue, REST and WebSocket under their own paths.
//!
//! What always holds: one task drives the market, and all that is sent was told by the exchange under one lock; a client
//! that does not read is disconnected, not buffered for without end.

mod admin;
pub mod batch;
pub mod clock;
pub mod http;
pub mod hub;
pub mod io;
pub mod limits;
mod listen;
pub mod settings;
pub mod socket;
mod spoil;
pub mod stats;
pub mod text;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use clock::Clock;
use hub::Hub;
use settings::Settings;

use crate::config::Config;
use crate::exchange::{Exchange, ExchangeError, Venue};

/// Why a server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The exchange cannot.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// An address cannot be listened at.
    #[error("127.0.0.1:{port}: {source}")]
    Listen {
        /// Its port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
}

/// A running exchange. Dropping it ends it.
pub struct Server {
    hub: Arc<Hub>,
    addresses: [SocketAddr; 3],
    admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Starts an exchange with a synthetic market on this runtime.
    ///
    /// # Errors
    /// When the configuration is refused or an address is taken.
    pub async fn start(config: &Config) -> Result<Server, ServerError> {
        let clock = Clock::start();
        let exchange = Exchange::new(config, clock.now())?;
        Server::serve(exchange, config.server.clone(), clock).await
    }

    /// Starts serving an exchange that was made before, at `clock`.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn serve(exchange: Exchange, settings: Settings, clock: Clock) -> Result<Server, ServerError> {
        let ports = [settings.upbit_port, settings.binance_port, settings.usdm_port];
        let admin_port = settings.admin_port;
        let hub = Arc::new(Hub::new(exchange, settings, clock));
        // Whoever connects first finds faults that begin at once under way.
        hub.advance()?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::with_capacity(ports.len());
        for (venue, port) in [Venue::Upbit, Venue::Binance, Venue::BinanceUsdm]
            .into_iter()
            .zip(ports)
        {
            let (listener, address) = listen_at(port).await?;
            addresses.push(address);
            tasks.spawn(listen::accept(listener, venue, Arc::clone(&hub), stopped.clone()));
        }
        let mut admin = None;
        if let Some(port) = admin_port {
            let (listener, address) = listen_at(port).await?;
            tracing::info!("faults are taken at http://{address}/faults");
            admin = Some(address);
            tasks.spawn(admin::accept(listener, Arc::clone(&hub), stopped.clone()));
        }
        tasks.spawn(drive(Arc::clone(&hub), stopped));
        Ok(Server {
            hub,
            addresses: [addresses[0], addresses[1], addresses[2]],
            admin,
            stop,
            tasks,
        })
    }

    /// Where a venue listens.
    pub fn address(&self, venue: Venue) -> SocketAddr {
        self.addresses[venue as usize]
    }

    /// Where faults are taken while it runs; none unless `admin_port` is set.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.map(|address| format!("http://{address}"))
    }

    /// Base of a venue's REST addresses: `http://127.0.0.1:…`.
    pub fn rest_url(&self, venue: Venue) -> String {
        format!("http://{}", self.address(venue))
    }

    /// Base of a venue's WebSocket addresses: `ws://127.0.0.1:…`.
    pub fn ws_url(&self, venue: Venue) -> String {
        format!("ws://{}", self.address(venue))
    }

    /// The hub behind the sockets: the exchange can be looked at and be told things under its lock.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Closes all connections, waits until everything has ended, and closes the exchange's truth log.
    ///
    /// # Errors
    /// When the truth log cannot be written to its end.
    pub async fn stop(mut self) -> Result<(), ExchangeError> {
        // Nobody listens any more when every task has ended by itself: just as well.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        match Arc::into_inner(self.hub) {
            Some(hub) => hub.finish(),
            None => Ok(()),
        }
    }
}

async fn listen_at(port: u16) -> Result<(TcpListener, SocketAddr), ServerError> {
    let refused = |source| ServerError::Listen { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Lets the market move.
async fn drive(hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_millis(hub.settings.tick_ms.max(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = hub.advance() {
            tracing::error!("the market stands still: {error}");
            return;
        }
    }
}
