//! The connections of a venue as the pipeline sees them, and when polling stands in for them.

use crate::clock::Stamp;
use crate::input::ConnId;
use crate::venue::DataSource;

/// Connections that ended are remembered up to this many, so that a late frame does not revive one.
const MOST_ENDED: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Link {
    conn: ConnId,
    takes_over: Option<ConnId>,
    live: bool,
}

/// The connections of one venue.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    ended: Vec<ConnId>,
    /// Live connections that deliver all markets.
    expected: usize,
    source: DataSource,
    fallback_ns: i64,
    down_ns: Option<i64>,
    polling: bool,
}

impl Links {
    pub fn new(expected: usize, source: DataSource, fallback_ns: i64) -> Links {
        Links {
            links: Vec::new(),
            ended: Vec::new(),
            expected,
            source,
            fallback_ns,
            down_ns: None,
            polling: false,
        }
    }

    /// The run begins, and no connection is there yet.
    pub fn begin(&mut self, now: Stamp) {
        self.down_ns = Some(now.mono_ns);
    }

    pub fn polling(&self) -> bool {
        self.polling
    }

    /// Whether a frame of this connection may be taken. One that was never announced is taken as live: a reader may begin
    /// in the middle of a recording.
    pub fn takes(&mut self, conn: ConnId) -> bool {
        // The newest stand last and speak most.
        if self.links.iter().rev().any(|link| link.conn == conn) {
            return true;
        }
        if self.ended.contains(&conn) {
            return false;
        }
        self.open(conn, None);
        self.live(conn);
        true
    }

    pub fn open(&mut self, conn: ConnId, takes_over: Option<ConnId>) {
        if !self.links.iter().any(|link| link.conn == conn) {
            self.links.push(Link {
                conn,
                takes_over,
                live: false,
            });
        }
    }

    pub fn live(&mut self, conn: ConnId) {
        if let Some(link) = self.links.iter_mut().find(|link| link.conn == conn) {
            link.live = true;
        }
    }

    /// Ends a connection; the one that has taken over from it, if any.
    pub fn close(&mut self, conn: ConnId) -> Option<ConnId> {
        self.links.retain(|link| link.conn != conn);
        if self.ended.len() == MOST_ENDED {
            self.ended.remove(0);
        }
        self.ended.push(conn);
        self.links
            .iter()
            .rev()
            .find(|link| link.takes_over == Some(conn))
            .map(|link| link.conn)
    }

    /// Whether as many connections are live as it takes to deliver all markets.
    pub fn up(&self) -> bool {
        self.links.iter().filter(|link| link.live).count() >= self.expected
    }

    /// Looks whether polling should begin at once or end; whether it is to be switched, and to what. It ends when all
    /// connections are live and no book is `served` by it any more.
    pub fn review(&mut self, now: Stamp, served: bool) -> Option<bool> {
        if self.up() {
            self.down_ns = None;
        } else {
            self.down_ns.get_or_insert(now.mono_ns);
        }
        let on = match self.source {
            DataSource::Websocket => false,
            DataSource::Rest => true,
            DataSource::Auto => match self.down_ns {
                None => self.polling && served,
                Some(since) => self.polling || now.mono_ns >= since.saturating_add(self.fallback_ns),
            },
        };
        (on != self.polling).then(|| {
            self.polling = on;
            on
        })
    }

    /// When polling is to begin, if nothing changes.
    pub fn due_ns(&self) -> i64 {
        match (self.source, self.polling, self.down_ns) {
            (DataSource::Auto, false, Some(since)) => since.saturating_add(self.fallback_ns),
            (DataSource::Rest, false, _) => i64::MIN,
            _ => i64::MAX,
        }
    }
}
