//! How often a login allocates, hashing left out.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use allocation_counter::measure;
use benches::{LOGIN, Overhead};

#[test]
fn a_login_allocates_fewer_than_40_times() {
    let overhead = Overhead::new().unwrap();
    // Whatever is made once has been made.
    assert_eq!(overhead.handle(LOGIN).status(), 200);
    for (name, body, status) in [
        ("a login", LOGIN, 200),
        (
            "a wrong password",
            b"username=ada%40example.com&password=x",
            401,
        ),
        ("an unknown user", b"username=x&password=x", 401),
        ("an empty form", b"", 422),
    ] {
        let mut answered = 0;
        let allocations = measure(|| answered = overhead.handle(body).status());
        assert_eq!(answered, status);
        println!(
            "{name}: {} allocations, {} bytes at most",
            allocations.count_total, allocations.bytes_max
        );
        assert!(allocations.count_total < 40, "{name}: {allocations:?}");
    }
}
