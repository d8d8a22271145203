//! Leads connections to a server, as a proxy or a name does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Leads new connections to the port that `target` has at that time, while the old ones stay where
/// they are; ends one when `goes_on` says so of what the client sends. Returns the URL.
pub(crate) async fn forward(
    target: Arc<AtomicU16>,
    goes_on: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let goes_on = Arc::new(goes_on);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let port = target.load(Ordering::Relaxed);
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(connect(client, server, Arc::clone(&goes_on)));
        }
    });
    url
}

async fn connect(
    client: TcpStream,
    server: TcpStream,
    goes_on: Arc<impl Fn(&[u8]) -> bool>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let length = from_client.read(&mut bytes).await?;
            let sent = &bytes[..length];
            if sent.is_empty() || !goes_on(sent) {
                return Ok(());
            }
            to_server.write_all(sent).await?;
        }
    };
    // Whichever ends first ends both.
    tokio::select! {
        ended = requests => ended,
        ended = io::copy(&mut from_server, &mut to_client) => ended.map(drop),
    }
}
