//! TURN over a connection, TCP's or TLS's: messages one after the other (RFC 8656 3.1, 12.5), in both directions.

use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    BufReader,
};
use tokio::sync::mpsc;

use crate::command::Command;
use crate::outbox::Route;
use crate::shared::Shared;
use crate::stun;
use crate::turn::{Client, Entrance, Reaction, Turn, length_on_stream};

/// How long a client may take until it has an allocation, and to finish a message.
const SETUP: Duration = Duration::from_secs(10);

/// How often it is looked whether a silent client still has its allocation: it may have had to give way.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a client may take nothing of what is sent.
const STALL: Duration = Duration::from_secs(30);

/// The longest message of one who has no allocation yet, and of one who has: media's fit a network's packets.
const MAX_FIRST: usize = 1_500;
const MAX_MESSAGE: usize = 8 << 10;

/// Messages that may wait for one client: half a second of video.
const QUEUE: usize = 256;

/// Messages written at once.
const BATCH: usize = 64;

/// Ends a client's allocation with its connection.
struct Ending<'a> {
    shared: &'a Shared,
    turn: &'a Turn,
    client: Client,
    stream: u64,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.streams.end(self.stream);
        self.turn.forget(&self.client);
    }
}

/// Serves a connection until it ends; `first` is what has been read of it. `admitted` is called once its client has an
/// allocation.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    remote: SocketAddr,
    first: Vec<u8>,
    shared: &Shared,
    admitted: impl FnOnce(),
) {
    let Some(turn) = &shared.turn else { return };
    let (reader, writer) = tokio::io::split(stream);
    let reader = BufReader::new(Cursor::new(first).chain(reader));
    let stream = shared.streams.next_number();
    let client = Client { remote, local: None, entrance: Entrance::Stream(stream) };
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let mut writing = pin!(write(writer, outgoing));
    {
        let ending = Ending { shared, turn, client, stream };
        tokio::select! {
            () = &mut writing => return,
            () = read(reader, &ending, queue, admitted) => {}
        }
    }
    // Nobody writes to it any more; what was answered last still goes out.
    writing.await;
}

async fn read(
    mut reader: impl AsyncBufRead + Unpin,
    Ending { shared, turn, client, stream }: &Ending<'_>,
    queue: mpsc::Sender<Vec<u8>>,
    admitted: impl FnOnce(),
) {
    let mut admitted = Some(admitted);
    let setup_until = Instant::now() + SETUP;
    let mut message = Vec::new();
    let mut owner = None;
    loop {
        loop {
            let now = Instant::now();
            let until = turn.expires_at(client).unwrap_or(setup_until);
            if until <= now {
                return;
            }
            match tokio::time::timeout_at(until.min(now + CHECK_INTERVAL).into(), reader.fill_buf()).await {
                Ok(Ok(bytes)) if !bytes.is_empty() => break,
                Ok(_) => return,
                Err(_) => {}
            }
        }
        let most = if admitted.is_some() { MAX_FIRST } else { MAX_MESSAGE };
        let read = read_message(&mut reader, most, &mut message);
        if !matches!(tokio::time::timeout(SETUP, read).await, Ok(Some(()))) {
            return;
        }
        let mut answer = Vec::new();
        match turn.handle(*client, &message, Instant::now(), &mut answer) {
            Reaction::Nothing => {}
            Reaction::Data(route, data) => deliver(shared, route, data, &mut owner).await,
            Reaction::Answer => {
                if admitted.is_some() && turn.expires_at(client).is_some() {
                    shared.streams.begin(*stream, queue.clone());
                    admitted.take().into_iter().for_each(|admitted| admitted());
                }
                if queue.send(answer).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads one message in place of the last.
async fn read_message(
    reader: &mut (impl AsyncRead + Unpin),
    most: usize,
    message: &mut Vec<u8>,
) -> Option<()> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await.ok()?;
    let length = length_on_stream(head).filter(|length| *length <= most)?;
    message.clear();
    message.extend_from_slice(&head);
    message.resize(length, 0);
    reader.read_exact(message.get_mut(4..)?).await.ok()?;
    Some(())
}

/// Hands data to the worker that has the connection it is for: the one whose name it knocked with last.
async fn deliver(shared: &Shared, route: Route, data: &[u8], owner: &mut Option<usize>) {
    if let Some(name) = stun::username(data) {
        *owner = shared.ufrags.read().get(name).copied();
    }
    match owner.and_then(|owner| shared.queues.get(owner)) {
        // Its being full holds the client up, as a narrow link would.
        Some(queue) => _ = queue.commands.send(Command::Datagram { route, bytes: data.to_vec() }).await,
        None => _ = shared.counters.stray_datagrams.fetch_add(1, Ordering::Relaxed),
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    let mut messages = Vec::with_capacity(BATCH);
    let mut buffer = Vec::new();
    while queue.recv_many(&mut messages, BATCH).await > 0 {
        buffer.clear();
        messages.drain(..).for_each(|message| buffer.extend(message));
        let written = async {
            writer.write_all(&buffer).await?;
            writer.flush().await
        };
        if !matches!(tokio::time::timeout(STALL, written).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = tokio::time::timeout(STALL, writer.shutdown()).await;
}
