//! What the node that has the records and another node's forwarding unit say to each other: what `media::Media` can be asked, and
//! what happens there. As JSON behind its length, so that a node of the version before or after understands it.

use anyhow::Context as _;
use bytes::{BufMut as _, BytesMut};
use media::{Answer, Client, Error, Event, Publish, Rewatch, Rights, SourceKey, Watch, Watched};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest word: what all the streams of a unit were like in two seconds.
const LONGEST: usize = 16 << 20;

/// Asked by the node that has the records. Connections have the numbers that it gave them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask")]
pub(super) enum Ask {
    Publish {
        id: u64,
        peer: u64,
        client: Client,
        asked: Publish,
    },
    Watch {
        id: u64,
        peer: u64,
        client: Client,
        asked: Watch,
    },
    Rewatch {
        id: u64,
        peer: u64,
        asked: Rewatch,
    },
    /// Why nothing of that could be sent by that offer.
    Untaken {
        id: u64,
        offer: String,
        streams: Vec<Watched>,
    },
    /// The relay's password for a user's name.
    Password {
        id: u64,
        username: String,
    },
    /// Somebody is about to come who may watch these.
    Expect {
        pictures: Vec<SourceKey>,
    },
    Rights {
        peer: u64,
        rights: Rights,
    },
    Close {
        peer: u64,
    },
    /// A trunk to the unit of the node with that number, and what that one says.
    Open {
        node: i64,
    },
    Word {
        node: i64,
        word: String,
    },
    Shut {
        node: i64,
    },
    #[serde(other)]
    Other,
}

/// Told by the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "tell")]
pub(super) enum Tell {
    /// Where clients find its relay.
    Ready {
        relay_urls: Vec<String>,
    },
    Answered {
        id: u64,
        result: Result<Answer, Error>,
    },
    Done {
        id: u64,
        result: Result<(), Error>,
    },
    Said {
        id: u64,
        result: Result<Option<String>, Error>,
    },
    Happened {
        event: Event,
    },
    /// For the unit of that node.
    Word {
        node: i64,
        word: String,
    },
    /// Its trunk to that node is of no use any more.
    Shut {
        node: i64,
    },
    #[serde(other)]
    Other,
}

impl Tell {
    /// Which question it answers.
    pub(super) fn id(&self) -> Option<u64> {
        match self {
            Self::Answered { id, .. } | Self::Done { id, .. } | Self::Said { id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// Sends words as they come, several at once, until there are no more.
pub(super) async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    words: &mut tokio::sync::mpsc::Receiver<impl Serialize>,
) -> anyhow::Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(word) = words.recv().await {
        let mut next = Some(word);
        while let Some(word) = next {
            let bytes = serde_json::to_vec(&word)?;
            buffer.put_u32(u32::try_from(bytes.len())?);
            buffer.extend_from_slice(&bytes);
            next = (buffer.len() < LONGEST).then(|| words.try_recv().ok()).flatten();
        }
        to.write_all(&buffer).await?;
        to.flush().await?;
        buffer.clear();
    }
    Ok(())
}

/// The next word.
pub(super) async fn next<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<T> {
    let length = usize::try_from(from.read_u32().await?)?;
    anyhow::ensure!(length <= LONGEST, "{length} bytes are no word");
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    serde_json::from_slice(&bytes).context("a word makes no sense: is it of another version?")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_come_as_they_were_said_and_unknown_ones_are_let_be() {
        let (mut one, mut other) = tokio::io::duplex(1 << 16);
        let (say, mut said) = tokio::sync::mpsc::channel(8);
        for word in [
            serde_json::json!({"ask": "Close", "peer": 7}),
            serde_json::json!({"ask": "Sing", "song": "a"}),
            serde_json::json!({"ask": "Open", "node": 3, "loudly": true}),
        ] {
            say.send(word).await.unwrap();
        }
        drop(say);
        send(&mut one, &mut said).await.unwrap();

        assert!(matches!(next(&mut other).await.unwrap(), Ask::Close { peer: 7 }));
        assert!(matches!(next(&mut other).await.unwrap(), Ask::Other));
        assert!(matches!(next(&mut other).await.unwrap(), Ask::Open { node: 3 }));
    }
}
