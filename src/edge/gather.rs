//! Answers of one connection that become ready together leave together.
//!
//! The HTTP/2 library hands down each frame by itself and asks for it to be sent at once. Below it is TLS, where each piece is a record
//! and a system call. Here pieces gather while other calls of the connection are about to be answered: the first request to send is
//! put off until everything that is ready to run has run once, and again while that brings more, up to 48 KiB. A connection that is alone pays
//! one more turn of its own task for it; a busy one sends several answers in one record.
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What gathers at most: some TLS records.
const GATHERED_BYTES_MAX: usize = 48 << 10;

/// A stream whose writes gather. What was written and not flushed is lost when it is dropped, as it is in any buffer.
pub(super) struct Gathering<T> {
    inner: T,
    gathered: BytesMut,
    /// So much was there when sending was put off; less than `gathered` where more has come since.
    put_off_at: usize,
}

impl<T: AsyncWrite + Unpin> Gathering<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, gathered: BytesMut::new(), put_off_at: 0 }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(sent);
        }
        self.put_off_at = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathering<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHERED_BYTES_MAX {
            ready!(self.send(cx))?;
        }
        let room = GATHERED_BYTES_MAX.saturating_sub(self.gathered.len()).min(bytes.len());
        self.gathered.extend_from_slice(bytes.get(..room).unwrap_or_default());
        Poll::Ready(Ok(room))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let more = self.gathered.len() > self.put_off_at;
        if more && self.gathered.len() < GATHERED_BYTES_MAX {
            self.put_off_at = self.gathered.len();
            // The connection's task is polled again, after all that is ready now, and flushes again as it does whenever it is polled.
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.send(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gathering<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    /// Takes so many bytes a write, and none while shut.
    #[derive(Default)]
    struct Pipe {
        writes: Vec<Vec<u8>>,
        most: usize,
        shut: bool,
        ended: bool,
    }

    impl AsyncWrite for Pipe {
        fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.shut {
                return Poll::Pending;
            }
            let taken = bytes.len().min(self.most);
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }
        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.ended = true;
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Task {
        stream: Gathering<Pipe>,
        woken: Arc<Woken>,
        waker: Waker,
    }

    fn task(most: usize) -> Task {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        Task { stream: Gathering::new(Pipe { most, ..Pipe::default() }), woken, waker }
    }

    impl Task {
        fn write(&mut self, bytes: &[u8]) -> Poll<usize> {
            let written = Pin::new(&mut self.stream).poll_write(&mut Context::from_waker(&self.waker), bytes);
            written.map(Result::unwrap)
        }
        fn flush(&mut self) -> Poll<()> {
            Pin::new(&mut self.stream).poll_flush(&mut Context::from_waker(&self.waker)).map(Result::unwrap)
        }
        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
        fn sent(&self) -> &[Vec<u8>] {
            &self.stream.inner.writes
        }
    }

    #[test]
    fn answers_that_are_ready_in_one_turn_leave_in_one_write() {
        let mut task = task(usize::MAX);
        for (n, answer) in [b"one", b"two"].into_iter().enumerate() {
            assert_eq!((task.write(answer), task.flush()), (Poll::Ready(3), Poll::Ready(())));
            assert_eq!((task.sent().len(), task.woken()), (0, n + 1), "put off, and its turn comes again");
        }
        assert_eq!(task.flush(), Poll::Ready(()));
        assert_eq!((task.sent(), task.woken()), ([b"onetwo".to_vec()].as_slice(), 2), "nothing new came: sent");
        assert_eq!(
            (task.flush(), task.woken(), task.sent().len()),
            (Poll::Ready(()), 2, 1),
            "nothing is there to send"
        );
    }

    #[test]
    fn nothing_is_put_off_for_ever_and_no_more_gathers_than_there_is_room_for() {
        let mut task = task(usize::MAX);
        let long = vec![7; GATHERED_BYTES_MAX + 5];
        assert_eq!((task.write(&long), task.flush()), (Poll::Ready(GATHERED_BYTES_MAX), Poll::Ready(())));
        assert_eq!((task.sent().concat().len(), task.woken()), (GATHERED_BYTES_MAX, 0), "full: sent at once");
        assert_eq!((task.write(&long), task.write(b"x")), (Poll::Ready(GATHERED_BYTES_MAX), Poll::Ready(1)));
        assert_eq!(task.sent().concat().len(), 2 * GATHERED_BYTES_MAX, "room is made by sending");
    }

    #[test]
    fn a_slow_reader_gets_every_byte_in_order_and_the_writer_waits_for_it() {
        let mut task = task(2);
        task.stream.inner.shut = true;
        assert_eq!((task.write(b"abc"), task.flush(), task.flush()), (Poll::Ready(3), Poll::Ready(()), Poll::Pending));
        assert_eq!(task.write(b"de"), Poll::Ready(2));
        task.stream.inner.shut = false;
        assert_eq!((task.flush(), task.flush()), (Poll::Ready(()), Poll::Ready(())));
        assert_eq!(task.sent(), [b"ab", b"cd", b"e".as_slice()]);
    }

    #[test]
    fn the_end_sends_what_has_gathered() {
        let mut task = task(usize::MAX);
        assert_eq!((task.write(b"bye"), task.flush()), (Poll::Ready(3), Poll::Ready(())));
        let ended = Pin::new(&mut task.stream).poll_shutdown(&mut Context::from_waker(&task.waker));
        assert!(matches!(ended, Poll::Ready(Ok(()))) && task.stream.inner.ended);
        assert_eq!(task.sent(), [b"bye"]);
    }
}
