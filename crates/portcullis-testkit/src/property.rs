//! What properties are written with.

use std::fmt::Debug;
use std::future::poll_fn;
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use portcullis_core::{Error, ErrorKind};
use tokio::sync::Semaphore;

use crate::suite::{Outcome, Subject, Violation};

pub(crate) fn equal<T: Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    // Hashes are redacted in both, so that the two may look the same.
    Err(Violation::new(format!(
        "{what} gives {found:?}, not {expected:?}"
    )))
}

pub(crate) fn fails<T: Debug>(method: &str, answer: &Result<T, Error>, kind: ErrorKind) -> Outcome {
    match answer {
        Err(error) if error.kind() == kind => Ok(()),
        answer => Err(Violation::new(format!(
            "{method} gives {answer:?}, not {kind:?}"
        ))),
    }
}

/// Makes one call per rival, all at the same time, and returns what each was answered.
pub(crate) async fn race<T, F>(
    subject: &Subject<T>,
    call: impl Fn(Arc<T>, usize) -> F,
) -> Result<Vec<F::Output>, Violation>
where
    T: ?Sized,
    F: Future<Output: Send> + Send + 'static,
{
    race_of(RIVALS, subject, call).await
}

/// The same, of so many rivals.
pub(crate) async fn race_of<T, F>(
    rivals: usize,
    subject: &Subject<T>,
    call: impl Fn(Arc<T>, usize) -> F,
) -> Result<Vec<F::Output>, Violation>
where
    T: ?Sized,
    F: Future<Output: Send> + Send + 'static,
{
    // First come, first served: on one thread a race always goes the same way. A barrier wakes in
    // an order drawn by lot.
    let (ready, start) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let calls: Vec<_> = (0..rivals)
        .map(|rival| {
            let call = call(subject.handle(), rival);
            let (ready, start) = (Arc::clone(&ready), Arc::clone(&start));
            tokio::spawn(async move {
                if ready.fetch_add(1, Ordering::Relaxed) + 1 == rivals {
                    start.add_permits(rivals);
                }
                let _started = start.acquire().await;
                call.await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        let answer = call.await;
        answers.push(answer.map_err(|_| Violation::new("the store panicked"))?);
    }
    Ok(answers)
}

/// How many calls [`race`].
pub(crate) const RIVALS: usize = 32;

/// What became of a call.
#[derive(PartialEq)]
pub(crate) enum Call {
    Abandoned,
    Finished,
}

/// Drops `call` if it is not finished after so many polls.
pub(crate) async fn abandon<F: Future>(polls: usize, call: F) -> Call {
    let mut call = pin!(call);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match call.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(Call::Finished),
            Poll::Pending if polled >= polls => Poll::Ready(Call::Abandoned),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// No call takes nearly so many; one that is never ready does not hold up the suite.
pub(crate) const MOST_POLLS: usize = 100;

/// Checks what is there after a call that was abandoned.
pub(crate) fn is_one_of<T: Debug + PartialEq + ?Sized>(
    found: Option<&T>,
    expected: [Option<&T>; 2],
) -> Outcome {
    if expected.contains(&found) {
        return Ok(());
    }
    Err(Violation::new(format!(
        "after an abandoned call there is {found:?}, not one of {expected:?}"
    )))
}

pub(crate) fn at(seconds: u64, microseconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, microseconds * 1000)
}

/// 9999-12-31T23:59:59Z. A number of its own: a test of the core's would share its mistake.
pub(crate) const END_OF_9999: u64 = 253_402_300_799;

/// Texts that a store might confuse with one another, cut short or reject, though it must hold them.
pub(crate) fn texts<T: ?Sized>(subject: &Subject<T>) -> Vec<String> {
    let texts = all_texts().into_iter();
    texts.filter(|text| subject.holds(text)).collect()
}

/// Texts that a store might confuse with one another, cut short or reject.
pub(crate) fn all_texts() -> Vec<String> {
    [
        "",
        " ",
        "\0",
        // Case, space, and what a line or a C string ends with.
        "alice",
        "Alice",
        "ALICE",
        " alice",
        "alice ",
        "alice\t",
        "alice\r\n",
        "alice\0",
        "alice\0bob",
        // Patterns, quotes and escapes.
        "%",
        "_lice",
        "a%",
        "a*",
        "a\\",
        "a'b",
        "a\"b",
        "a`b",
        "'; DROP TABLE users; --",
        "$1",
        "?1",
        ":a",
        // What looks like another type.
        "NULL",
        "null",
        "0",
        "00",
        "1",
        "1.0",
        "1e0",
        "0x1",
        // The same letter composed and decomposed; letters whose upper cases collide.
        "caf\u{e9}",
        "cafe\u{301}",
        "stra\u{df}e",
        "strasse",
        "\u{131}",
        "i",
        "\u{fb01}",
        "fi",
        "\u{212a}",
        "k",
        // A byte order mark; then three in byte order, of which UTF-16 sorts the first last.
        "\u{feff}alice",
        "\u{fffd}",
        "\u{1f511}",
        "\u{10ffff}",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(["a", "b"].map(|end| iter::repeat_n("x", 10_239).chain([end]).collect()))
    .chain([noise()])
    .collect()
}

/// 10 kB that no store makes shorter, so that no index of Postgres holds them as they are.
fn noise() -> String {
    // Marsaglia's xorshift64.
    let numbers = iter::successors(Some(1_u64), |x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    });
    numbers
        .map(|number| char::from(b' ' + (number % 95) as u8))
        .take(10_240)
        .collect()
}
