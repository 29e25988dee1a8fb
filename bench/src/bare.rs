//! What ours is held against: the least a server could do for the same bytes.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What get_member_list answers of so many members.
pub(crate) fn list(members: usize) -> String {
    let list: Vec<String> =
        (0..members).map(|number| format!(r#"{{"Member_Account":"user-{number:06}"}}"#)).collect();
    format!(
        r#"{{"ErrorCode":0,"ErrorInfo":"","ActionStatus":"OK","RequestId":"Id-70e312f1de024af5a36714b7b71da224-O-Seq-63504","Response":{{"Next":"","MemberCount":{members},"MemberList":[{}]}}}}"#,
        list.join(",")
    )
}

/// A bare axum server that answers every call with a ready-made list of so many members.
pub(crate) async fn http(members: usize) -> anyhow::Result<()> {
    let body: Bytes = list(members).into();
    let answer = move || {
        let body = body.clone();
        async move { ([(CONTENT_TYPE, "application/json")], body) }
    };
    let routes = Router::new().route("/v4/live_engine_http_srv/get_member_list", post(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(tokio_nodelay(listener), routes).await?)
}

/// As ours, without Nagle's delay.
fn tokio_nodelay(listener: TcpListener) -> impl axum::serve::Listener<Addr = std::net::SocketAddr> {
    use axum::serve::ListenerExt as _;
    listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    })
}

/// A bare tokio loop: for every byte that comes on the first connection, it writes `size` bytes to all the others.
pub(crate) async fn sockets(size: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let (mut trigger, _) = listener.accept().await?;
    let mut others = Vec::new();
    let frame = load::text_frame(&format!("{:<width$}", r#"{"event":"text_msg""#, width = size));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                others.push(stream);
            }
            pulled = trigger.read_u8() => {
                if pulled.is_err() { return Ok(()) }
                for stream in &mut others {
                    stream.write_all(&frame).await?;
                }
            }
        }
    }
}
