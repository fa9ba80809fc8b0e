//! A connection that is given up when its client stops reading.

use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How long a client may leave unread what was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A TCP stream whose writes fail after some time without any progress, so that nobody can hold our buffers by not
/// reading.
pub(crate) struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// There only while a write waits, which for most connections is never.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            patience: PATIENCE,
            waits: None,
        }
    }

    fn watch<T>(&mut self, progress: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.waits = None;
            return progress;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        match waits.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(progress, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(progress, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (Patient, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut ours = Patient::new(accepted.unwrap().0);
        ours.patience = Duration::from_millis(400);
        (ours, client.unwrap())
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_is_given_up() {
        let (mut ours, _client) = pair().await;
        let began = Instant::now();
        let flood = vec![0; 64 * 1024];
        let error = loop {
            if let Err(error) = ours.write_all(&flood).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(400));
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_but_reads_is_waited_for() {
        let (mut ours, mut client) = pair().await;
        let all = 24 * 1024 * 1024;
        let writing = async {
            ours.write_all(&vec![7; all]).await.unwrap();
            ours.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut some, mut read, mut pause) = (
                vec![0; 4 * 1024 * 1024],
                0,
                tokio::time::interval(Duration::from_millis(100)),
            );
            loop {
                pause.tick().await;
                match client.read(&mut some).await.unwrap() {
                    0 => return read,
                    count => read += count,
                }
            }
        };
        assert_eq!(tokio::join!(writing, reading).1, all);
    }
}
