//! A client that writes what a property says to a socket, and no more.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use crate::fastapi::Case;
use crate::suite::Violation;

/// A request, as it stands on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
    is_head: bool,
    from: Option<IpAddr>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self::bare(method, target)
            .header("host", "testserver")
            .header("connection", "close")
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of a form.
    pub(crate) fn post(target: &str, form: &str) -> Self {
        Self::new("POST", target)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", &form.len().to_string())
            .body(form.as_bytes())
    }

    /// A POST of a form whose length is not announced. It has no end: what follows is for the
    /// caller to write.
    pub(crate) fn post_in_chunks(target: &str) -> Self {
        Self::new("POST", target)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("transfer-encoding", "chunked")
    }

    pub(crate) fn recorded(case: &Case) -> Self {
        let request = Self::bare(&case.method, &case.path).header("connection", "close");
        let headers = case.headers.iter();
        headers
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            })
            .body(&case.body())
    }

    fn bare(method: &str, target: &str) -> Self {
        Self {
            head: format!("{method} {target} HTTP/1.1\r\n").into_bytes(),
            body: Vec::new(),
            is_head: method == "HEAD",
            from: None,
        }
    }

    /// `value` is Latin-1.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.extend(name.bytes());
        self.head.extend(b": ");
        // A character beyond Latin-1 stands in no recording.
        self.head
            .extend(value.chars().map(|c| u8::try_from(c).unwrap_or(b'?')));
        self.head.extend(b"\r\n");
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body.extend(body);
        self
    }

    /// Connects from this address of the machine.
    pub(crate) fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }
}

/// A request whose answer has not been read.
#[derive(Debug)]
pub(crate) struct Pending {
    reader: OwnedReadHalf,
    // To drop it would close this side of the connection.
    writer: OwnedWriteHalf,
    is_head: bool,
}

impl Pending {
    /// Connects and writes a request, all of it.
    pub(crate) async fn send(server: SocketAddr, request: &Request) -> io::Result<Self> {
        let mut pending = Self::connect(server, request).await?;
        let Request { head, body, .. } = request;
        let wire = [head, &b"\r\n"[..], body].concat();
        // The server may answer, and close, before it has read everything.
        let _ = pending.writer.write_all(&wire).await;
        Ok(pending)
    }

    async fn connect(server: SocketAddr, request: &Request) -> io::Result<Self> {
        let stream = match request.from {
            Some(address) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(address, 0))?;
                socket.connect(server).await?
            }
            None => TcpStream::connect(server).await?,
        };
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader,
            writer,
            is_head: request.is_head,
        })
    }

    /// Reads the answer.
    pub(crate) async fn answer(mut self) -> Result<Response, Violation> {
        Response::read(&mut self.reader, self.is_head).await
    }

    /// Writes one chunk after another until there is an answer.
    pub(crate) async fn answer_while_writing(
        mut self,
        chunks: impl Iterator<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Response, Violation> {
        let mut writer = self.writer;
        let writing = tokio::spawn(async move {
            for chunk in chunks {
                if writer.write_all(&chunk).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            writer
        });
        let answer = Response::read(&mut self.reader, self.is_head).await;
        writing.abort();
        answer
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    async fn read(reader: &mut OwnedReadHalf, is_head: bool) -> Result<Self, Violation> {
        let mut wire = Vec::new();
        let end = loop {
            if let Some(end) = wire.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if reader.read_buf(&mut wire).await? == 0 {
                return Err(Violation::new(
                    "the connection was closed without an answer",
                ));
            }
        };
        let mut body = wire.split_off(end + 4);
        let head: String = wire[..end].iter().copied().map(char::from).collect();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .ok_or_else(|| Violation::new(format!("an answer without a status: {head}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = match length {
            // RFC 9112 §6.3.
            _ if is_head || status == 204 => 0,
            Some((_, length)) => length
                .parse()
                .map_err(|_| Violation::new(format!("the length `{length}` of an answer")))?,
            None => usize::MAX,
        };
        while body.len() < length && reader.read_buf(&mut body).await? > 0 {}
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// All headers of that name. `name` is in lower case.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value that a cookie is set to, if it is set.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.all("set-cookie").find_map(|cookie| {
            let (other, value) = cookie.split(';').next()?.split_once('=')?;
            (other == name).then_some(value)
        })
    }
}
