//! Tells HTTP/2 from HTTP/1 by what a client says first.
//!
//! With or without TLS: who agreed on HTTP/2 there begins in the same way.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What every connection of HTTP/2 begins with (RFC 9113, 3.4), and none of HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream, with what was read of it put back.
pub(super) struct Rewound<I> {
    inner: I,
    first: [u8; PREFACE.len()],
    /// What of `first` was not read again yet.
    begin: usize,
    end: usize,
}

/// Reads until it is known what the client speaks: whether it is HTTP/2.
pub(super) async fn is_http2<I>(mut inner: I) -> io::Result<(bool, Rewound<I>)>
where
    I: AsyncRead + Unpin,
{
    let mut first = [0; PREFACE.len()];
    let mut end = 0;
    while end < PREFACE.len() && first[..end] == PREFACE[..end] {
        match inner.read(&mut first[end..]).await? {
            0 => break,
            count => end += count,
        }
    }
    let is_http2 = first == *PREFACE;
    let begin = 0;
    let rewound = Rewound {
        inner,
        first,
        begin,
        end,
    };
    Ok((is_http2, rewound))
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.first[this.begin..this.end];
        if rest.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buffer);
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.begin += count;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn sniff(pieces: &[&[u8]]) -> (bool, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1000);
        let sniffing = tokio::spawn(is_http2(server));
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        let (is_http2, mut rewound) = sniffing.await.unwrap().unwrap();
        let mut all = Vec::new();
        rewound.read_to_end(&mut all).await.unwrap();
        (is_http2, all)
    }

    #[tokio::test]
    async fn only_the_whole_preface_is_http2_and_nothing_is_lost() {
        let (head, tail) = PREFACE.split_at(3);
        let cases: [(&[&[u8]], bool); 6] = [
            (&[PREFACE, b"frames"], true),
            (&[head, tail, b"frames"], true),
            (&[b"GET / HTTP/1.1\r\n\r\n"], false),
            (&[b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n"], false),
            (&[b"P", b"UT / HTTP/1.1\r\n\r\n"], false),
            (&[head], false),
        ];
        for (pieces, wanted) in cases {
            let sent: Vec<u8> = pieces.concat();
            assert_eq!(sniff(pieces).await, (wanted, sent));
        }
    }
}
