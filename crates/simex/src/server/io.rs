//! A TCP stream that can be made to misbehave while it is in use: cut in the middle of a frame, stalled, broken into small
//! pieces, late.
//!
//! The protocol code above it writes as to any stream and learns of a cut as it would from a real one.

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
    /// Every write waits this long first.
    delay: Duration,
    /// At most this many bytes go out in one write.
    piece: Option<usize>,
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

    /// From now on lets every write wait so long (zero ends it).
    pub fn delay(&self, each: Duration) {
        self.change(|state| state.delay = each);
    }

    /// From now on writes at most so many bytes at a time.
    pub fn fragment(&self, piece: Option<usize>) {
        self.change(|state| state.piece = piece.map(|bytes| bytes.max(1)));
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

/// The stream.
#[derive(Debug)]
pub struct FaultyIo {
    stream: TcpStream,
    control: Control,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The delay of the write at hand has been waited for.
    waited: bool,
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
            waited: false,
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
            if !state.delay.is_zero() && !self.waited {
                self.waited = true;
                self.sleep = Some(Box::pin(tokio::time::sleep(state.delay)));
                continue;
            }
            return match state.cut_after {
                Some(0) => {
                    self.cut = true;
                    // The error, if any, is that the peer was faster.
                    let _ = self.stream.set_zero_linger();
                    Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
                }
                left => Poll::Ready(Ok(wanted
                    .min(left.unwrap_or(usize::MAX))
                    .min(state.piece.unwrap_or(usize::MAX)))),
            };
        }
    }
}

use std::future::Future as _;

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
        let written = std::task::ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..most]))?;
        this.waited = false;
        if let Some(left) = &mut this.control.lock().cut_after {
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
