//! Bodies that are too long, in bytes or in time.

use std::iter;
use std::time::Duration;

use portcullis_core::adapter::Mount;

use super::client::Request;
use super::{Adapter, AdapterApp, WRONG, endpoint};
use crate::property::equal;
use crate::suite::{Outcome, Subject};

/// A body that is as long as the limit is read, and one that is longer is 413, whether its length
/// is announced or not.
///
/// # Errors
/// How the property was violated.
pub async fn a_body_of_the_limit_is_read_and_a_longer_one_is_413(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    for (limit, status) in [(WRONG.len(), 401), (WRONG.len() - 1, 413)] {
        let mount = Mount::new(endpoint().await?).with_body_limit(limit);
        let site = AdapterApp::new(mount).start(subject)?;
        let announced = Request::post("/v1/login", WRONG);
        site.answers("a body", &announced, status).await?;
        let (begin, end) = WRONG.split_at(5);
        let body = [chunk(begin), chunk(end), chunk("")].concat();
        let in_chunks = Request::post_in_chunks("/v1/login").body(&body);
        site.answers("a body in chunks", &in_chunks, status).await?;
    }
    Ok(())
}

/// A body that goes on and on is 408 once its time is up, and so is one that stops half-way.
///
/// # Errors
/// How the property was violated.
pub async fn a_body_that_never_ends_is_408(subject: &Subject<dyn Adapter>) -> Outcome {
    let mount = Mount::new(endpoint().await?)
        // Who does not mind the time comes to this limit some time, and does not go on for ever.
        .with_body_limit(MANY_CHUNKS * CHUNK.len())
        .with_body_deadline(Duration::from_millis(1));
    let site = AdapterApp::new(mount).start(subject)?;
    let request = Request::post_in_chunks("/v1/login").body(&chunk("username="));
    let pending = site.begin(&request).await?;
    let answer = pending.answer_while_writing(iter::repeat_with(|| chunk(CHUNK)));
    equal("a body that goes on", &answer.await?.status, &408)?;
    site.answers("a body that stops", &request, 408).await
}

/// One chunk of a body (RFC 9112 §7.1); the empty one is the last.
fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

const CHUNK: &str = "aaaaaaaaaaaaaaaa";

/// More than come in a millisecond by far: each is a write of its own.
const MANY_CHUNKS: usize = 100_000;
