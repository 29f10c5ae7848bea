//! A TCP stream that can be made to misbehave while it is in use: cut in the middle of a frame, stalled, without its pongs.
//!
//! The protocol code above it writes as to any stream and learns of a cut as it would from a real one.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// The handle by which a stream is made to misbehave; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Bytes that may still be written before the stream is reset.
    cut_after: Option<usize>,
    /// Nothing is written before this.
    stalled_until: Option<Instant>,
    /// Pongs are left out until then.
    no_pongs_until: Option<Instant>,
    /// Whether what is written are WebSocket frames, and how much of the one at hand is still to come.
    frames: bool,
    frame_left: usize,
    waker: Option<Waker>,
}

impl Control {
    /// Resets the connection after this many more bytes: a frame on its way is cut there, and the peer sees a RST.
    pub fn cut_after(&self, bytes: usize) {
        self.change(|state| state.cut_after = Some(bytes));
    }

    /// Writes nothing for so long; what is to be written waits.
    pub fn stall(&self, span: Duration) {
        self.change(|state| state.stalled_until = Some(Instant::now() + span));
    }

    /// For so long, pongs are not written.
    pub fn drop_pongs(&self, span: Duration) {
        self.change(|state| state.no_pongs_until = Some(Instant::now() + span));
    }

    /// From now on, whole WebSocket frames are written.
    pub fn frames_begin(&self) {
        self.change(|state| (state.frames, state.frame_left) = (true, 0));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of the bytes that are to be written next.
enum Next {
    /// At most this many are written.
    Write(usize),
    /// This many are left out, as if they had been written.
    LeaveOut(usize),
}

impl State {
    /// Follows the frames in what is written, and leaves pongs out while that is asked for.
    fn next_frame(&mut self, buf: &[u8]) -> Next {
        if !self.frames {
            return Next::Write(buf.len());
        }
        if self.frame_left == 0 {
            // The writer hands over whole frames; a head that is not whole would be a frame of one byte.
            let length = frame_length(buf).unwrap_or(1);
            let quiet = self.no_pongs_until.is_some_and(|until| Instant::now() < until);
            const PONG: u8 = 0x8a;
            if quiet && buf.first() == Some(&PONG) && length <= buf.len() {
                return Next::LeaveOut(length);
            }
            self.frame_left = length;
        }
        Next::Write(buf.len().min(self.frame_left))
    }
}

/// Bytes of the frame that begins here, head included. A server's frames are not masked.
fn frame_length(buf: &[u8]) -> Option<usize> {
    match buf.get(1)? & 0x7f {
        126 => {
            let digits = buf.get(2..4)?.try_into().ok()?;
            Some(4 + usize::from(u16::from_be_bytes(digits)))
        }
        127 => {
            let digits = buf.get(2..10)?.try_into().ok()?;
            usize::try_from(u64::from_be_bytes(digits)).ok()?.checked_add(10)
        }
        short => Some(2 + usize::from(short)),
    }
}

/// The stream.
#[derive(Debug)]
pub struct FaultyIo {
    stream: TcpStream,
    control: Control,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether it was reset.
    cut: bool,
}

impl FaultyIo {
    /// A stream that behaves, until `control` says otherwise.
    pub fn new(stream: TcpStream, control: Control) -> FaultyIo {
        FaultyIo {
            stream,
            control,
            sleep: None,
            cut: false,
        }
    }

    /// Waits until writing is allowed; then tells how many of `wanted` bytes may go, or that the stream is cut.
    fn poll_allowance(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<std::io::Result<usize>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            let mut state = self.control.lock();
            if let Some(until) = state.stalled_until {
                if Instant::now() < until {
                    state.waker = Some(cx.waker().clone());
                    self.sleep = Some(Box::pin(tokio::time::sleep_until(until)));
                    continue;
                }
                state.stalled_until = None;
            }
            return match state.cut_after {
                Some(0) => {
                    self.cut = true;
                    // The error, if any, is that the peer was faster.
                    let _ = self.stream.set_zero_linger();
                    Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
                }
                left => Poll::Ready(Ok(wanted.min(left.unwrap_or(usize::MAX)))),
            };
        }
    }
}

impl AsyncRead for FaultyIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.cut {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FaultyIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = &mut *self;
        let most = std::task::ready!(this.poll_allowance(cx, buf.len()))?;
        let most = match this.control.lock().next_frame(buf) {
            Next::LeaveOut(bytes) => return Poll::Ready(Ok(bytes)),
            Next::Write(bytes) => most.min(bytes),
        };
        let written = std::task::ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..most]))?;
        let mut state = this.control.lock();
        state.frame_left = state.frame_left.saturating_sub(written);
        if let Some(left) = &mut state.cut_after {
            *left -= written;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
