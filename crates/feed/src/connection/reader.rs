//! Reading an open socket: frames out, messages and pings in, and every timer of a connection.
//!
//! What always holds: what has arrived is read before a timer is believed, and under a flood the timers are looked at
//! after each frame all the same; while our own queue is full nothing is read, and no timer counts against the venue.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use memchr::memmem::Finder;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::counts::{Counters, add};
use super::dial::{Dial, Socket, failure};
use super::first::FirstData;
use super::life::{End, Ended, Life, Order, Report, Shared, ordered};
use crate::clock::Stamp;
use crate::error::FeedError;
use crate::input::{Body, ConnId, Input, LinkEvent};
use crate::venue::{Protocol, Timers};

/// Between two messages of ours. Upbit and Binance take 5 a second, and a ping and a pong may come between.
const MESSAGE_SPACING: Duration = Duration::from_millis(400);
/// More pings than this in a second are a flood; venues send one in 20 seconds.
const PINGS_A_SECOND_MOST: u32 = 50;
/// Frames that are read and forgotten after our close frame, while the venue's own is waited for.
const PARTING_FRAMES_MOST: u32 = 1_000;
/// `{"e":"serverShutdown","E":…}`, in the combined form as stream `!serverShutdown`, is shorter than this; longer frames
/// are not searched for it.
const SHUTDOWN_FRAME_MOST: usize = 256;

/// An open socket and its timers. All of them are monotonic: what the wall clock does is of no concern here.
pub(super) struct Reader<'a, D: Dial> {
    shared: &'a Shared<D>,
    timers: &'a Timers,
    counters: Arc<Counters>,
    conn: ConnId,
    socket: Socket<D::Stream>,
    /// Messages that are due, and those that wait for their turn.
    outgoing: VecDeque<Message>,
    queued: VecDeque<Message>,
    unflushed: bool,
    broken: Option<WsError>,
    first: Option<FirstData>,
    shutdown: Option<Finder<'static>>,
    pub live_since: Option<Instant>,

    /// Both clocks at the start: a stamp's monotonic time is turned into an [`Instant`] by their difference.
    start: (Instant, i64),
    /// No timer is due before this.
    due: Instant,
    last_frame: Instant,
    next_message: Option<Instant>,
    first_by: Option<Instant>,
    next_ping: Option<Instant>,
    pong_by: Option<Instant>,
    old_at: Option<Instant>,
    /// When it ends, because another has taken over.
    pub until: Option<Instant>,
    pings_sent: u64,
    ping_second: (Instant, u32),
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Lets whoever waits for this frame have it before the next is read: of a burst the first is decided upon at once, and
/// the others wait in the socket, not behind their stamps. `yield_now` of tokio would ask the kernel for news first, which
/// costs more than the switch.
async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<'a, D: Dial> Reader<'a, D> {
    pub fn new(socket: Socket<D::Stream>, shared: &'a Shared<D>, life: &Life<D>) -> Reader<'a, D> {
        let timers = &shared.config.timers;
        let now = Instant::now();
        let mut messages = life.plan.messages(&life.ticket).into_iter().map(Message::text);
        let must_speak = life.plan.must_speak.iter();
        Reader {
            shared,
            timers,
            counters: Arc::clone(&life.counters),
            conn: life.conn,
            socket,
            outgoing: messages.next().into_iter().collect(),
            queued: messages.collect(),
            unflushed: false,
            broken: None,
            first: Some(FirstData::of(
                shared.config.protocol,
                must_speak
                    .filter(|stream| !life.unheard.contains(*stream))
                    .cloned()
                    .collect(),
            )),
            shutdown: (shared.config.protocol != Protocol::Upbit).then(|| Finder::new("\"serverShutdown\"")),
            live_since: None,
            start: (now, shared.clock.now().mono_ns),
            due: now,
            last_frame: now,
            next_message: Some(now + MESSAGE_SPACING),
            first_by: Some(now + ms(timers.first_data_ms)),
            next_ping: (timers.ping_ms > 0).then(|| now + ms(timers.ping_ms)),
            pong_by: None,
            old_at: (timers.max_age_ms > 0).then(|| now + ms(timers.max_age_ms)),
            until: None,
            pings_sent: 0,
            ping_second: (now, 0),
        }
    }

    /// Reads until it ends.
    pub async fn run(&mut self, life: &mut Life<D>, ended: &mut Ended) -> End {
        match self.read(life, ended).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn read(&mut self, life: &mut Life<D>, ended: &mut Ended) -> Result<Infallible, End> {
        let takes_over = match &*life.orders.borrow() {
            Order::Run { takes_over } => *takes_over,
            _ => None,
        };
        let opened = self.shared.link(self.conn, LinkEvent::Open { takes_over });
        self.hand_on(opened, life).await?;
        ended.opened = true;
        add(&self.counters.opened, 1);
        self.live_when_complete(life).await?;

        let mut sleep = Box::pin(sleep_until(self.due));
        loop {
            self.arm(sleep.as_mut());
            let mut ordered = false;
            let mut now = self.due;
            // Reading comes first: what has arrived is taken before a timer is believed. Under a flood neither of the
            // others would ever be asked, so both are looked at after each frame as well.
            tokio::select! {
                biased;
                message = std::future::poll_fn(|cx| self.poll(cx)) => now = self.take(message, life).await?,
                _ = life.orders.changed() => ordered = true,
                () = &mut sleep => {}
            }
            if ordered || life.orders.has_changed().unwrap_or(true) {
                self.obey(life)?;
            }
            if now >= self.due {
                self.timers(Instant::now(), life, ended).await?;
            }
        }
    }

    fn arm(&self, sleep: Pin<&mut Sleep>) {
        if sleep.deadline() != self.due || sleep.is_elapsed() {
            sleep.reset(self.due);
        }
    }

    /// Writes what is to be written, as far as the peer takes it, and reads. A write that fails is told when there is
    /// nothing left to read: the peer's last words may explain it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, WsError>>> {
        if self.broken.is_none() {
            self.broken = self.poll_write(cx).err();
        }
        match self.socket.poll_next_unpin(cx) {
            Poll::Pending => match self.broken.take() {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => Poll::Pending,
            },
            ready => ready,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), WsError> {
        while !self.outgoing.is_empty() {
            match self.socket.poll_ready_unpin(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            if let Some(message) = self.outgoing.pop_front() {
                self.socket.start_send_unpin(message)?;
                self.unflushed = true;
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = self.socket.poll_flush_unpin(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// What came, and when.
    async fn take(&mut self, message: Option<Result<Message, WsError>>, life: &mut Life<D>) -> Result<Instant, End> {
        let stamp = self.shared.clock.now();
        let since = u64::try_from(stamp.mono_ns - self.start.1).unwrap_or(0);
        let now = self.start.0 + Duration::from_nanos(since);
        let lost = |why: String| Err(End::Lost(FeedError::Connection(why)));
        self.last_frame = now;
        match message {
            Some(Ok(Message::Text(text))) => self.data(stamp, false, text.into(), life).await?,
            Some(Ok(Message::Binary(bytes))) => self.data(stamp, true, bytes, life).await?,
            // The library has answered already; its answer leaves with the next poll.
            Some(Ok(Message::Ping(_))) => self.pinged(now)?,
            Some(Ok(Message::Pong(payload))) => self.ponged(&payload),
            Some(Ok(Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                return lost(match frame {
                    Some(frame) => format!("closed by the venue: {} {}", u16::from(frame.code), frame.reason),
                    None => "closed by the venue without a reason".to_owned(),
                });
            }
            Some(Err(error)) => return Err(End::Lost(failure(error, &self.shared.config))),
            None => return lost("ended without a close frame".to_owned()),
        }
        give_way().await;
        Ok(now)
    }

    async fn data(&mut self, stamp: Stamp, binary: bool, bytes: Bytes, life: &mut Life<D>) -> Result<(), End> {
        add(&self.counters.frames, 1);
        add(&self.counters.bytes, bytes.len() as u64);
        let heard = self.first.as_mut().map(|first| first.hear(&bytes));
        let shutdown =
            bytes.len() < SHUTDOWN_FRAME_MOST && self.shutdown.as_ref().is_some_and(|text| text.find(&bytes).is_some());
        let conn = self.conn;
        let frame = self.shared.input(stamp, Body::Frame { conn, binary, bytes });
        self.hand_on(frame, life).await?;
        if let Some(heard) = heard {
            heard.map_err(End::Lost)?;
            self.live_when_complete(life).await?;
        }
        if shutdown {
            self.old_at = None;
            self.report(Report::Replace, life).await;
        }
        Ok(())
    }

    async fn live_when_complete(&mut self, life: &mut Life<D>) -> Result<(), End> {
        if self.first.as_ref().is_some_and(FirstData::complete) {
            self.first = None;
            self.first_by = None;
            self.live_since = Some(Instant::now());
            let live = self.shared.link(self.conn, LinkEvent::Live);
            self.hand_on(live, life).await?;
            add(&self.counters.live, 1);
            self.report(Report::Live, life).await;
        }
        Ok(())
    }

    async fn report(&mut self, report: Report, life: &Life<D>) {
        // The lane never waits for a connection, so this does not wait for long; without a lane all ends anyway.
        let _ = life.reports.send((self.conn, report)).await;
    }

    fn pinged(&mut self, now: Instant) -> Result<(), End> {
        add(&self.counters.pings, 1);
        let (second, count) = &mut self.ping_second;
        if now - *second >= ms(1_000) {
            (*second, *count) = (now, 0);
        }
        *count += 1;
        if *count > PINGS_A_SECOND_MOST {
            let what = format!("more than {PINGS_A_SECOND_MOST} pings in a second");
            return Err(End::Lost(FeedError::Protocol(what)));
        }
        Ok(())
    }

    /// A pong that carries the payload of a ping of ours; any other proves nothing.
    fn ponged(&mut self, payload: &[u8]) {
        add(&self.counters.pongs, 1);
        let number = payload.try_into().map(u64::from_be_bytes);
        if number.is_ok_and(|number| number > 0 && number <= self.pings_sent) {
            self.pong_by = None;
        }
    }

    /// Hands an input on, waiting for room no longer than `overflow_ms`. Meanwhile nothing is read, so the venue's
    /// sockets fill up and not our memory; timers that wait for the venue stand still.
    async fn hand_on(&mut self, input: Input, life: &mut Life<D>) -> Result<(), End> {
        let input = match self.shared.out.try_send(input) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(End::Unread),
            Err(mpsc::error::TrySendError::Full(input)) => input,
        };
        let began = Instant::now();
        let limit_ms = self.timers.overflow_ms;
        tokio::select! {
            biased;
            permit = self.shared.out.reserve() => match permit {
                Ok(permit) => permit.send(input),
                Err(_) => return Err(End::Unread),
            },
            end = ordered(&mut life.orders) => return Err(end),
            () = sleep_until(began + ms(limit_ms)) => return Err(End::Lost(FeedError::Overflow(limit_ms))),
        }
        // `ordered` may have taken note of an order that ends nothing.
        life.orders.mark_changed();
        let stood = began.elapsed();
        self.last_frame += stood;
        for by in [&mut self.first_by, &mut self.pong_by].into_iter().flatten() {
            *by += stood;
        }
        Ok(())
    }

    fn obey(&mut self, life: &mut Life<D>) -> Result<(), End> {
        if life.orders.has_changed().is_err() {
            return Err(End::Stop);
        }
        match &*life.orders.borrow_and_update() {
            Order::Run { .. } => Ok(()),
            Order::Superseded(until) => {
                self.until = Some(*until);
                self.due = self.due.min(*until);
                Ok(())
            }
            Order::GiveUp(error) => Err(End::Lost(error.clone())),
            Order::Stop => Err(End::Stop),
        }
    }

    /// Does what is due, and finds out when it has to be looked at again.
    async fn timers(&mut self, now: Instant, life: &Life<D>, ended: &mut Ended) -> Result<(), End> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let overdue = |what: &str, limit_ms| {
            let what = what.to_owned();
            Err(End::Lost(FeedError::Timeout { what, limit_ms }))
        };
        let timers = self.timers;
        let silent_at = self.last_frame + ms(timers.idle_ms);
        if is_due(self.until) {
            return Err(End::Over);
        }
        if is_due(Some(silent_at)) {
            return overdue("any frame", timers.idle_ms);
        }
        if is_due(self.pong_by) {
            return overdue("pong", timers.pong_ms);
        }
        if is_due(self.first_by)
            && let Some(first) = self.first.take()
        {
            let error = first.overdue(timers.first_data_ms);
            ended.silent = first.silent();
            return Err(End::Lost(error));
        }
        if is_due(self.next_message) {
            self.next_message = self.queued.pop_front().map(|message| {
                self.outgoing.push_back(message);
                now + MESSAGE_SPACING
            });
            if let (Some(_), Some(by)) = (self.next_message, &mut self.first_by) {
                *by = now + ms(timers.first_data_ms);
            }
        }
        if is_due(self.next_ping) {
            self.pings_sent += 1;
            let payload = self.pings_sent.to_be_bytes().to_vec();
            self.outgoing.push_back(Message::Ping(payload.into()));
            self.next_ping = Some(now + ms(timers.ping_ms.max(1)));
            self.pong_by.get_or_insert(now + ms(timers.pong_ms));
        }
        if is_due(self.old_at) {
            self.old_at = None;
            self.report(Report::Replace, life).await;
        }
        self.due = [
            Some(silent_at),
            self.until,
            self.first_by,
            self.next_message,
            self.next_ping,
            self.pong_by,
            self.old_at,
        ]
        .into_iter()
        .flatten()
        .fold(silent_at, Instant::min);
        Ok(())
    }

    /// Ends the socket: politely where we end it, at once where it is broken.
    pub async fn part(mut self, end: &End, limit: Duration) {
        let normal = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        // Whatever goes wrong here, the socket is dropped next.
        let _ = match end {
            End::Over | End::Stop | End::Unread => {
                timeout(limit, async {
                    self.socket.send(Message::Close(Some(normal))).await?;
                    // What is still under way, so that the close frame is not overtaken by a reset.
                    for _ in 0..PARTING_FRAMES_MOST {
                        if self.socket.next().await.transpose()?.is_none() {
                            break;
                        }
                    }
                    Ok::<(), WsError>(())
                })
                .await
            }
            // The answer to the venue's own close frame.
            End::Lost(FeedError::Connection(_)) => timeout(limit, self.socket.flush()).await,
            End::Lost(_) => return,
        };
    }
}
