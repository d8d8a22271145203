//! An adapter without a framework: just enough of HTTP/1.1 to carry requests to the core. It may have
//! one fault.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::unfold;
use portcullis_core::Bearer;
use portcullis_core::adapter::{BoxFuture, Found, Operation, RequestHead, Runtime};
use portcullis_core::guard::{BearerRefusal, BearerRejection, bearer_token};
use portcullis_core::responder::Reply;
use portcullis_testkit::AdapterApp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    AnswersEverythingElseWith404,
    ComparesPathsAsSent,
    DropsCookies,
    DropsTheQuery,
    DropsWhatOutlivesARequest,
    IgnoresScopes,
    IgnoresTheMethod,
    LetsOutagesIn,
    LosesTheLastChunk,
    NeverWakes,
    None,
    ReadsTheTokenItself,
    ReplacesHeaders,
    SaysNoAddress,
    SendsNoBody,
    ServesEverythingAsALogin,
    TakesBadTokensForNone,
}

/// Makes the adapter.
pub(crate) fn serve(
    fault: Fault,
) -> impl Fn(AdapterApp, std::net::TcpListener) -> BoxFuture<io::Result<()>> + Send + Sync + 'static
{
    move |app, listener| {
        Box::pin(async move {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (stream, from) = listener.accept().await?;
                let app = app.clone();
                // A client that breaks off is none of our business.
                tokio::spawn(async move {
                    let _ = connection(fault, app, stream, from).await;
                });
            }
        })
    }
}

/// Answers one request; there are no more on a connection.
async fn connection(
    fault: Fault,
    app: AdapterApp,
    stream: TcpStream,
    from: SocketAddr,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = Reader {
        half: reader,
        unread: Vec::new(),
    };
    let head = Head::read(&mut reader).await?;
    let (body, gone) = body(fault, reader, &head);
    let reply = tokio::select! {
        reply = answer(fault, &app, &head, from, body) => reply,
        _ = gone => return Ok(()),
    };
    write(fault, &mut writer, &head, reply).await
}

async fn answer(
    fault: Fault,
    app: &AdapterApp,
    head: &Head,
    from: SocketAddr,
    body: mpsc::Receiver<io::Result<Vec<u8>>>,
) -> Reply {
    let _counted = app.in_flight.enter();
    let request = head.request(fault, from);
    for (operation, path) in app.mount.paths() {
        let mut request = request.clone();
        if fault == Fault::IgnoresTheMethod {
            request = head.request_by("POST", fault, from);
        }
        let is_for = match fault {
            Fault::ComparesPathsAsSent => request.method() == "POST" && head.path() == path,
            _ => app.mount.is_for(operation, &request),
        };
        if is_for {
            let operation = match fault {
                Fault::ServesEverythingAsALogin => Operation::Login,
                _ => operation,
            };
            let body = unfold(body, async |mut body| Some((body.recv().await?, body)));
            let runtime: &'static Tokio = match fault {
                Fault::DropsWhatOutlivesARequest => &Tokio::DropsTasks,
                Fault::NeverWakes => &Tokio::NeverWakes,
                _ => &Tokio::Whole,
            };
            return app.mount.serve(operation, request, body, runtime).await;
        }
    }
    let answered = match (request.method(), head.path()) {
        ("GET", "/v1/me") => me(fault, app, &request).await,
        ("GET", "/v1/maybe") => maybe(fault, app, &request).await,
        ("GET", "/v1/read") => read(fault, app, &request).await,
        _ => {
            let fallback = app.mount.fallback(AdapterApp::PATHS);
            return match fallback.find(&request) {
                _ if fault == Fault::AnswersEverythingElseWith404 => fallback.not_found(),
                Found::Path(_) => fallback.not_found(),
                Found::Reply(reply) => reply,
            };
        }
    };
    answered.unwrap_or_else(|rejection| rejection.reply().clone())
}

async fn me(fault: Fault, app: &AdapterApp, head: &RequestHead<'_>) -> Answered {
    if fault == Fault::ReadsTheTokenItself && bearer_token(head.header("authorization")).is_none() {
        return Ok(
            Reply::detail(401, "Not authenticated").with_header("www-authenticate", "Bearer")
        );
    }
    match app.guard.admit(head).await {
        Err(rejection)
            if fault == Fault::LetsOutagesIn
                && matches!(rejection.refusal(), BearerRefusal::Failed(_)) =>
        {
            Ok(text("ada"))
        }
        bearer => Ok(name(&bearer?)),
    }
}

async fn maybe(fault: Fault, app: &AdapterApp, head: &RequestHead<'_>) -> Answered {
    let bearer = match fault {
        Fault::TakesBadTokensForNone => app.guard.admit(head).await.ok(),
        _ => app.guard.admit_optional(head).await?,
    };
    Ok(bearer.map_or_else(|| text("nobody"), |bearer| name(&bearer)))
}

async fn read(fault: Fault, app: &AdapterApp, head: &RequestHead<'_>) -> Answered {
    let bearer = app.guard.admit(head).await?;
    if fault != Fault::IgnoresScopes {
        bearer.require("read")?;
    }
    Ok(name(&bearer))
}

type Answered = Result<Reply, BearerRejection>;

fn name(bearer: &Bearer) -> Reply {
    text(bearer.claims.sub.as_str())
}

fn text(text: &str) -> Reply {
    Reply::new(200).with_body("text/plain", text.as_bytes().to_vec())
}

async fn write(
    fault: Fault,
    writer: &mut OwnedWriteHalf,
    head: &Head,
    reply: Reply,
) -> io::Result<()> {
    let mut headers: Vec<(&str, &str)> = Vec::new();
    for (name, value) in reply.headers() {
        if fault == Fault::ReplacesHeaders {
            headers.retain(|(other, _)| *other != name);
        }
        headers.push((name, value));
    }
    let mut wire = format!("HTTP/1.1 {} \r\n", reply.status());
    for (name, value) in headers {
        wire.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = match fault {
        Fault::SendsNoBody => b"",
        _ => reply.body(),
    };
    if reply.status() != 204 {
        wire.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    wire.push_str("\r\n");
    let body = if head.method == "HEAD" { b"" } else { body };
    // In one piece: of two, the second would wait for the first to be acknowledged.
    writer.write_all(&[wire.as_bytes(), body].concat()).await?;
    writer.shutdown().await
}

/// A request line and header lines, as sent.
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    async fn read(reader: &mut Reader) -> io::Result<Self> {
        let line = String::from_utf8_lossy(&reader.line().await?).into_owned();
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next(), words.next());
        let mut headers = Vec::new();
        loop {
            let line = reader.line().await?;
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                break;
            };
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        Ok(Self {
            method: method.unwrap_or_default(),
            target: target.unwrap_or_default(),
            headers,
        })
    }

    fn request(&self, fault: Fault, from: SocketAddr) -> RequestHead<'_> {
        self.request_by(&self.method, fault, from)
    }

    fn request_by<'a>(
        &'a self,
        method: &'a str,
        fault: Fault,
        from: SocketAddr,
    ) -> RequestHead<'a> {
        let target = match fault {
            Fault::DropsTheQuery => self.path(),
            _ => &self.target,
        };
        let headers = self.headers.iter();
        let headers = headers.filter(|(name, _)| fault != Fault::DropsCookies || name != "cookie");
        RequestHead::new(method, target.as_bytes())
            .with_headers(headers.map(|(name, value)| (name.as_str(), value.as_slice())))
            .with_remote_address(None, (fault != Fault::SaysNoAddress).then_some(from))
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let header = headers.find(|(other, _)| other == name);
        header.map(|(_, value)| value.as_slice())
    }
}

/// The chunks of a body, and what is ready once the client has gone.
fn body(
    fault: Fault,
    mut reader: Reader,
    head: &Head,
) -> (mpsc::Receiver<io::Result<Vec<u8>>>, oneshot::Receiver<()>) {
    let (sender, chunks) = mpsc::channel(1);
    let (going, gone) = oneshot::channel();
    let length = head.header("content-length");
    let mut length = length.map_or(0, |length| {
        String::from_utf8_lossy(length).parse().unwrap_or(0)
    });
    let is_chunked = head.header("transfer-encoding").is_some();
    let loses_the_last = is_chunked && fault == Fault::LosesTheLastChunk;
    tokio::spawn(async move {
        // Until it is known not to be the last.
        let mut withheld = None;
        loop {
            let mut chunk = if is_chunked {
                reader.chunk().await
            } else {
                let chunk = reader.up_to(length).await;
                length -= chunk.as_ref().map_or(0, Vec::len);
                chunk
            };
            if matches!(&chunk, Ok(chunk) if chunk.is_empty()) {
                break;
            }
            if loses_the_last {
                match withheld.replace(chunk) {
                    Some(earlier) => chunk = earlier,
                    None => continue,
                }
            }
            let is_broken = chunk.is_err();
            // Nobody may be interested in it any more.
            if sender.send(chunk).await.is_err() || is_broken {
                break;
            }
        }
        drop(sender);
        reader.rest().await;
        drop(going);
    });
    (chunks, gone)
}

struct Reader {
    half: OwnedReadHalf,
    unread: Vec<u8>,
}

impl Reader {
    async fn fill(&mut self) -> io::Result<()> {
        self.unread.reserve(64 << 10);
        match self.half.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Up to the end of a line, which is taken away.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\r\n") {
                let rest = self.unread.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.truncate(end);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    /// What is there of `length` bytes, at least one of them.
    async fn up_to(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > 0 && self.unread.is_empty() {
            self.fill().await?;
        }
        let rest = self.unread.split_off(length.min(self.unread.len()));
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let length = self.line().await?;
        let length = usize::from_str_radix(&String::from_utf8_lossy(&length), 16);
        let length = length.map_err(|_| io::ErrorKind::InvalidData)?;
        while self.unread.len() < length + 2 {
            self.fill().await?;
        }
        let chunk = self.up_to(length).await;
        self.line().await?;
        chunk
    }

    async fn rest(&mut self) {
        while self.fill().await.is_ok() {
            self.unread.clear();
        }
    }
}

#[derive(Debug)]
enum Tokio {
    DropsTasks,
    NeverWakes,
    Whole,
}

impl Runtime for Tokio {
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        match self {
            Self::NeverWakes => Box::pin(pending()),
            Self::DropsTasks | Self::Whole => Box::pin(tokio::time::sleep(duration)),
        }
    }

    fn spawn(&self, task: BoxFuture<()>) {
        match self {
            Self::DropsTasks => drop(task),
            Self::NeverWakes | Self::Whole => {
                tokio::spawn(task);
            }
        }
    }
}
