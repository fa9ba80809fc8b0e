//! Lines of a server that cannot use up memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// How much of a line's start and of its end is kept to find out which request it answers.
const HEAD: usize = 512;
const TAIL: usize = 128;

/// What a server writes, with every line that is too long replaced by the answer that it was too long, so that whoever
/// waits for it need not wait for its timeout. Holds a few kilobytes, whatever comes.
pub(crate) struct BoundedLines<R> {
    inner: R,
    most: usize,
    length: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    chunk: Box<[u8]>,
    ready: Vec<u8>,
    told: usize,
}

impl<R> BoundedLines<R> {
    pub(crate) fn new(inner: R, most: usize) -> Self {
        Self {
            inner,
            most,
            length: 0,
            head: Vec::with_capacity(HEAD),
            tail: Vec::with_capacity(2 * TAIL),
            chunk: vec![0; 16 * 1024].into(),
            ready: Vec::new(),
            told: 0,
        }
    }

    fn take_in(&mut self, bytes: usize) {
        self.ready.clear();
        self.told = 0;
        let chunk = std::mem::take(&mut self.chunk);
        for piece in chunk[..bytes].split_inclusive(|byte| *byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', rest)) => {
                    self.part(rest);
                    self.end();
                }
                _ => self.part(piece),
            }
        }
        self.chunk = chunk;
    }

    fn part(&mut self, part: &[u8]) {
        let room = (self.most + 1).saturating_sub(self.length);
        self.ready.extend_from_slice(&part[..part.len().min(room)]);
        let unseen = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&part[..part.len().min(unseen)]);
        self.tail.extend_from_slice(&part[part.len().saturating_sub(TAIL)..]);
        let too_much = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..too_much);
        self.length += part.len();
    }

    fn end(&mut self) {
        self.ready.push(b'\n');
        if self.length > self.most {
            tracing::warn!(
                "a tool server wrote a line of {} bytes, which was thrown away",
                self.length
            );
            if let Some(id) = answered(&self.head, &self.tail) {
                let message = format!("the answer has {} bytes; {} is the most", self.length, self.most);
                let fault = serde_json::json!({
                    "jsonrpc": "2.0", "id": id, "error": {"code": TOO_LARGE, "message": message},
                });
                self.ready.extend_from_slice(fault.to_string().as_bytes());
                self.ready.push(b'\n');
            }
        }
        self.length = 0;
        self.head.clear();
        self.tail.clear();
    }
}

/// The code of the answer that stands in for one that was too long.
pub(crate) const TOO_LARGE: i32 = -32_099;

/// Which request a long line answers. Its number stands before the result or behind it, never inside.
fn answered(head: &[u8], tail: &[u8]) -> Option<u64> {
    let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
    let outer = head.split("\"result\"").next().unwrap_or_default();
    let number = |text: &str| {
        let digits = text.trim_start().strip_prefix(':')?.trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok()
    };
    if let Some(at) = outer.find("\"id\"") {
        return number(&outer[at + 4..]);
    }
    let members = tail.trim_end().strip_suffix('}')?.rsplit(',').take(2);
    members
        .filter_map(|member| number(member.trim_start().strip_prefix("\"id\"")?))
        .next()
}

impl<R: AsyncRead + Unpin> AsyncRead for BoundedLines<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.told == this.ready.len() {
            let mut chunk = ReadBuf::new(&mut this.chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))?;
            let bytes = chunk.filled().len();
            if bytes == 0 {
                return Poll::Ready(Ok(()));
            }
            this.take_in(bytes);
        }
        let rest = &this.ready[this.told..];
        let count = rest.len().min(out.remaining());
        out.put_slice(&rest[..count]);
        this.told += count;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn through(written: &str, most: usize) -> String {
        let mut read = String::new();
        BoundedLines::new(written.as_bytes(), most)
            .read_to_string(&mut read)
            .await
            .unwrap();
        read
    }

    #[tokio::test]
    async fn lines_of_a_good_length_come_through_as_they_are() {
        let written = "{\"id\":1}\n\n{\"id\":2,\"result\":{}}\nhalf";
        assert_eq!(through(written, 100).await, written);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_becomes_an_answer_to_its_request() {
        let filling = "x".repeat(100_000);
        let number_first =
            format!("{{\"jsonrpc\":\"2.0\", \"id\": 7,\"result\":{{\"id\":1,\"text\":\"{filling}\"}}}}\n");
        let number_last = format!("{{\"result\":{{\"id\":1,\"text\":\"{filling}\"}},\"jsonrpc\":\"2.0\",\"id\":8}}\n");
        let number_before =
            format!("{{\"result\":{{\"id\":1,\"text\":\"{filling}\"}},\"id\":9,\"jsonrpc\":\"2.0\"}}\n");
        for (line, id) in [(number_first, 7), (number_last, 8), (number_before, 9)] {
            let read = through(&format!("{line}{{\"id\":10}}\n"), 1000).await;
            let lines: Vec<_> = read.lines().collect();
            assert_eq!(lines[0].len(), 1001);
            let fault: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
            assert_eq!(
                (fault["id"].as_u64(), fault["error"]["code"].as_i64()),
                (Some(id), Some(-32_099))
            );
            assert_eq!(lines[2..], ["{\"id\":10}"]);
        }
    }

    #[tokio::test]
    async fn a_line_that_answers_nothing_is_only_cut() {
        let read = through(&format!("{}\n", "{\"method\":\"x\"".repeat(1000)), 50).await;
        assert_eq!((read.len(), read.lines().count()), (52, 1));
    }
}
