//! HTTP/1.1, by hand: gRPC-Web and the metrics page.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// As in 200.
    pub status: u16,
    /// The header lines, in lower case.
    pub headers: String,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

/// Gets a page.
///
/// # Errors
/// When there is no answer.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"), &[]).await
}

/// Posts one gRPC-Web message; `headers` are further header lines, each with its line end.
///
/// # Errors
/// When there is no answer.
pub async fn post_message(address: SocketAddr, path: &str, headers: &str, message: &[u8]) -> Result<Answer> {
    let length = u32::try_from(message.len())?.to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/grpc-web+proto\r\n\
         X-Grpc-Web: 1\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    exchange(address, head, &body).await
}

/// The frames of a gRPC-Web body: messages, then the trailers as text.
///
/// # Errors
/// When the body is cut.
pub fn frames(mut body: &[u8]) -> Result<(Vec<Vec<u8>>, String)> {
    let mut messages = Vec::new();
    let mut trailers = String::new();
    while let Some((&flag, rest)) = body.split_first() {
        let (length, rest) = rest.split_first_chunk::<4>().context("a length")?;
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        let (frame, rest) = rest.split_at_checked(length).context("a whole frame")?;
        if flag & 0x80 == 0 {
            messages.push(frame.to_vec())
        } else {
            trailers = String::from_utf8(frame.to_vec())?
        }
        body = rest;
    }
    Ok((messages, trailers))
}

async fn exchange(address: SocketAddr, head: String, body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("the end of the headers")?;
    let headers = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = headers.split(' ').nth(1).context("a status")?.parse()?;
    let rest = &answer[end + 4..];
    let body = if headers.contains("transfer-encoding: chunked") { dechunk(rest)? } else { rest.to_vec() };
    Ok(Answer { status, headers, body })
}

fn dechunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").context("a chunk's size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?.trim(), 16)?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(rest.get(..size).context("a whole chunk")?);
        rest = rest.get(size + 2..).context("a chunk's end")?;
    }
}
