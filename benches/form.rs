//! Bodies into forms, forms into grants, and the errors of a form into JSON.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::hint::black_box;

use benches::{LOGIN, URLENCODED};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis_core::Responder;
use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant, TokenRefusal};
use portcullis_core::form::FormData;
use portcullis_core::responder::{Answer, FastApi};

const MULTIPART: &[u8] = b"multipart/form-data; boundary=x";

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("form");
    for (name, content_type, body) in [
        ("typical login", URLENCODED, LOGIN.to_vec()),
        ("1000 fields", URLENCODED, b"name=value&".repeat(1_000)),
        ("1 MiB of escapes", URLENCODED, b"%41".repeat(349_525)),
        ("multipart login", MULTIPART, multipart(b"secret")),
        ("1 MiB multipart", MULTIPART, multipart(&[b'x'; 1 << 20])),
        (
            "1 MiB of near-boundaries",
            MULTIPART,
            multipart(&b"\r\n--".repeat(1 << 18)),
        ),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let form = FormData::parse(Some(content_type), black_box(&body))?;
                let grant = PasswordGrant::from_form(&form, GrantTypePolicy::Optional);
                black_box(grant.is_ok());
                Ok::<_, portcullis_core::form::FormError>(())
            });
        });
    }
    group.finish();
}

fn render(c: &mut Criterion) {
    let form = FormData::parse(Some(URLENCODED), b"grant_type=x").expect("a form");
    let errors = PasswordGrant::from_form(&form, GrantTypePolicy::Optional).expect_err("errors");
    let refusal = TokenRefusal::Validation(errors);
    let responder = FastApi::new();
    c.bench_function("render/three validation errors", |b| {
        b.iter(|| responder.respond(Answer::Refused(black_box(&refusal))));
    });
}

fn multipart(password: &[u8]) -> Vec<u8> {
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nada\r\n\
                     --x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n"
        .to_vec();
    body.extend(password);
    body.extend(b"\r\n--x--\r\n");
    body
}

criterion_group!(benches, parse, render);
criterion_main!(benches);
