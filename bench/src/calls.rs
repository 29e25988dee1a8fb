//! The API from the client's side: one call, or as many as there can be for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, Roomful};

pub(crate) const CONNECTIONS: usize = 64;

/// How often each is measured.
pub(crate) const ROUNDS: usize = 5;

pub(crate) const WARM_UP: Duration = Duration::from_millis(500);
pub(crate) const MEASURED: Duration = Duration::from_secs(2);

/// What a server did while it was asked as often as it could answer.
pub(crate) struct Load {
    pub(crate) calls: f64,
    /// User and system time of the server alone: steady where the rate is not, for that depends on what else wants the
    /// cores, the load itself first of all.
    pub(crate) cpu_seconds: f64,
    pub(crate) seconds: f64,
}

impl Load {
    pub(crate) fn rate(&self) -> f64 {
        self.calls / self.seconds
    }

    pub(crate) fn us_each(&self) -> f64 {
        self.cpu_seconds / self.calls * 1e6
    }
}

/// Sends one request over and over on [`CONNECTIONS`] keep-alive connections.
pub(crate) async fn load(server: &Process, request: &str) -> anyhow::Result<Load> {
    load_by(CONNECTIONS, server, &[server], &[request.to_owned()]).await
}

/// The same by so many connections, each with one of the requests, where several servers have work with it.
pub(crate) async fn load_by(
    connections: usize,
    server: &Process,
    all: &[&Process],
    requests: &[String],
) -> anyhow::Result<Load> {
    let cpu_seconds = || all.iter().map(|one| one.cpu_seconds()).sum::<anyhow::Result<f64>>();
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for request in requests.iter().cycle().take(connections) {
        let mut stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        let (request, stop, count) = (request.clone().into_bytes(), stop.clone(), count.clone());
        tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; 128 * 1024];
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(&request).await?;
                let length = read_response(&mut stream, &mut buffer).await?;
                if !buffer
                    .get(..length)
                    .is_some_and(|body| body.windows(16).take(400).any(|part| part == br#"{"ErrorCode":0,""#))
                {
                    bail!("{}", String::from_utf8_lossy(buffer.get(..length.min(500)).unwrap_or_default()));
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let (started, cpu, before) = (Instant::now(), cpu_seconds()?, count.load(Ordering::Relaxed));
    tokio::time::sleep(MEASURED).await;
    let calls = (count.load(Ordering::Relaxed) - before) as f64;
    let load = Load { calls, cpu_seconds: cpu_seconds()? - cpu, seconds: started.elapsed().as_secs_f64() };
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(load)
}

/// A call that has to work.
pub(crate) async fn call(server: &Roomful, command: &str, body: &serde_json::Value) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&server.process.address).await?;
    stream.write_all(server.request(command, body)?.as_bytes()).await?;
    let mut buffer = vec![0; 64 * 1024];
    let length = read_response(&mut stream, &mut buffer).await?;
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
    if !text.contains(r#""ErrorCode":0"#) {
        bail!("{command}: {text}");
    }
    Ok(())
}

/// Reads one response whole; returns how many bytes it had.
pub(crate) async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let mut filled = 0;
    let mut whole = None;
    loop {
        let read = stream.read(buffer.get_mut(filled..).context("the response is too long")?).await?;
        if read == 0 {
            bail!("the connection was closed");
        }
        filled += read;
        if whole.is_none() {
            let seen = buffer.get(..filled).unwrap_or_default();
            if let Some(end) = seen.windows(4).take(1024).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(seen.get(..end).unwrap_or_default())?.to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .context("no length")?;
                whole = Some(end + 4 + length.parse::<usize>()?);
            }
        }
        if whole.is_some_and(|whole| filled >= whole) {
            return Ok(filled);
        }
    }
}
