//! How often passwords may be tried, and that a login obeys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::adapter::RemoteAddress;
use portcullis_core::audit::Audit;
use portcullis_core::clock::Clock;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::memory::{MemoryCredentialStore, MemoryThrottleStore};
use portcullis_core::responder::{Reply, Rfc6749};
use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};
use portcullis_core::throttle::{
    Admission, Attempt, LoginSource, SprayingPolicy, ThrottlePolicy, Told,
};
use portcullis_core::{
    Authenticator, BoxError, Credential, CredentialStore, ErrorKind, HashPool, Throttle,
    TokenEndpoint, UserId, Username,
};
use portcullis_testkit::{BrokenStore, FakeHasher, FakeTokens, ManualClock, RecordingObserver};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ABROAD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn from_the_fifth_failure_on_the_delay_doubles_up_to_fifteen_minutes() -> Result<(), BoxError>
{
    let test = Test::new();
    let mut delays = Vec::new();
    for failures in 1..=16 {
        test.fails("ada", ABROAD).await?;
        if failures < 5 {
            assert!(test.may_try("ada", ABROAD).await?, "{failures}");
        } else {
            delays.push(test.wait("ada", ABROAD).await?.as_secs());
        }
        test.pass(delays.last().map_or(1, |delay| *delay));
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    Ok(())
}

#[tokio::test]
async fn a_delay_ends_with_its_last_millisecond() -> Result<(), BoxError> {
    let test = Test::new();
    test.fails_times(6, "ada", ABROAD).await?;
    test.clock.advance(Duration::from_millis(1_999));
    let rest = test.wait("ada", ABROAD).await?;
    assert_eq!(rest, Duration::from_millis(1));
    test.clock.advance(rest);
    test.granted("ada", ABROAD).await.map(drop)
}

#[tokio::test]
async fn who_only_knocks_keeps_nobody_out_for_longer() -> Result<(), BoxError> {
    let test = Test::new();
    test.fails_times(8, "ada", ABROAD).await?;
    for left in (1..=8).rev() {
        assert_eq!(test.wait("ada", ABROAD).await?.as_secs(), left);
        test.pass(1);
    }
    test.granted("ada", ABROAD).await.map(drop)
}

#[tokio::test]
async fn after_a_hundred_failures_nobody_may_try_for_thirty_days() -> Result<(), BoxError> {
    let test = Test::new();
    test.fails_times(100, "ada", ABROAD).await?;
    assert_eq!(test.wait("ada", ABROAD).await?, 30 * DAY);
    assert_eq!(test.wait("ada", HOME).await?, 30 * DAY);
    test.clock.advance(30 * DAY);
    test.granted("ada", ABROAD).await.map(drop)
}

#[tokio::test]
async fn an_operator_ends_a_stop() -> Result<(), BoxError> {
    let test = Test::new();
    test.fails_times(100, "ada", ABROAD).await?;
    test.throttle.unlock(&Username::new("ada")).await?;
    test.fails_times(4, "ada", ABROAD).await?;
    test.granted("ada", ABROAD).await.map(drop)
}

#[tokio::test]
async fn a_stop_lasts_as_long_as_the_policy_says() -> Result<(), BoxError> {
    let mut test = Test::new();
    let mut policy = ThrottlePolicy::default();
    policy.stop_for = 2 * DAY;
    test.throttle = test.throttle.with_policy(policy)?;
    test.fails_times(100, "ada", ABROAD).await?;
    assert_eq!(test.wait("ada", ABROAD).await?, 2 * DAY);
    Ok(())
}

#[tokio::test]
async fn a_success_takes_back_its_own_attempt_and_gives_strangers_no_tries() -> Result<(), BoxError>
{
    let test = Test::new();
    test.fails_times(20, "ada", ABROAD).await?;
    test.pass(900);
    test.succeeds("ada", HOME).await?;
    assert!(test.may_try("ada", ABROAD).await?);
    test.fails("ada", ABROAD).await?;
    assert_eq!(test.wait("ada", ABROAD).await?.as_secs(), 900);
    Ok(())
}

#[tokio::test]
async fn a_success_empties_the_count_of_a_known_source() -> Result<(), BoxError> {
    let test = Test::new();
    test.succeeds("ada", HOME).await?;
    test.fails_times(20, "ada", HOME).await?;
    test.pass(900);
    test.succeeds("ada", HOME).await?;
    test.fails_times(4, "ada", HOME).await?;
    assert!(test.may_try("ada", HOME).await?);
    Ok(())
}

/// Spellings that some store could take for one are counted together, and none frees another.
#[tokio::test]
async fn whoever_owns_another_spelling_has_no_more_tries() -> Result<(), BoxError> {
    for (victim, twin) in [
        ("ada", "ADA"),
        ("kim", "\u{212a}im"),
        ("stra\u{df}e", "STRASSE"),
        ("o\u{3c3}", "o\u{3c2}"),
        ("r\u{e9}n\u{e9}", "re\u{301}ne\u{301}"),
        ("ada", "\u{ff41}\u{ff44}\u{ff41}"),
        ("ada", "ada "),
        ("ada", "ad\u{200b}a"),
        ("ada", "ad\u{ad}a\u{feff}"),
        ("o\u{31b}", "o\u{200d}\u{31b}"),
    ] {
        for from in [ABROAD, HOME] {
            let test = Test::new();
            let mut guesses = 0;
            for _ in 0..100 {
                for _ in 0..4 {
                    if let Ok(attempt) = test.begin(victim, ABROAD).await? {
                        told(attempt.failed().await?)?;
                        guesses += 1;
                    }
                }
                if let Ok(attempt) = test.begin(twin, from).await? {
                    told(attempt.succeeded().await?)?;
                }
            }
            assert_eq!(guesses, 5, "{victim:?} by {twin:?}");
        }
    }
    Ok(())
}

/// Nobody has the places of another forgotten by logging in as a spelling of their name from many.
#[tokio::test]
async fn spellings_share_the_places_that_are_known() -> Result<(), BoxError> {
    let test = Test::new();
    let place = |n: u8| IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
    for n in 1..=8 {
        test.pass(1);
        test.succeeds("ada", place(n)).await?;
    }
    for n in 101..=120 {
        test.pass(1);
        test.succeeds("ADA", place(n)).await?;
    }
    for twin in [
        "aDa", "Ada", "adA", "AdA", "aDA", "ADa", "ada ", " ada", "ada\t",
    ] {
        for n in 201..=209 {
            test.pass(1);
            test.succeeds(twin, place(n)).await?;
        }
    }
    test.fails_times(5, "ada", ABROAD).await?;
    // The one where she was last.
    assert!(test.may_try("ada", place(8)).await?);
    Ok(())
}

/// What is found, and how long it takes to read, tells nothing of an account.
#[tokio::test]
async fn every_record_is_as_long_as_the_others() -> Result<(), BoxError> {
    let test = Test::new();
    for n in 1..=9 {
        test.succeeds("ada", Ipv4Addr::new(192, 0, 2, n).into())
            .await?;
    }
    test.fails_times(100, "ada", ABROAD).await?;
    test.fails("nobody", ABROAD).await?;
    let mut lengths = Vec::new();
    for name in ["nobody", "ada"] {
        let found = test
            .store
            .find(&ThrottleKey::of(&Username::new(name)))
            .await?;
        lengths.push(found.ok_or("no record")?.as_str().len());
    }
    assert_eq!(lengths[0], lengths[1]);
    assert!(lengths[0] <= 2_048, "{lengths:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_logins_at_once_from_a_known_source_all_succeed() -> Result<(), BoxError> {
    let test = Test::new();
    test.succeeds("ada", HOME).await?;
    let all_there = Arc::new(tokio::sync::Barrier::new(50));
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let (throttle, all_there) = (test.throttle.clone(), Arc::clone(&all_there));
            tokio::spawn(async move {
                let ada = Username::new("ada");
                let begun = throttle.begin(&ada, &LoginSource::at(HOME)).await;
                all_there.wait().await;
                match begun? {
                    Admission::Granted(attempt) => attempt.succeeded().await,
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await??, Told::AsItIs);
    }
    Ok(())
}

#[tokio::test]
async fn of_wrong_logins_at_once_from_a_known_source_five_are_answered_after_the_first()
-> Result<(), BoxError> {
    for ending in [Ending::Wrong, Ending::Right] {
        let test = Test::new();
        test.succeeds("ada", HOME).await?;
        let mut under_way = Vec::new();
        for _ in 0..1_000 {
            under_way.extend(test.begin("ada", HOME).await?.ok());
        }
        // As many as stop it if all of them fail.
        assert_eq!(under_way.len(), 100);
        told(under_way.pop().ok_or("none")?.failed().await?)?;
        assert!(!test.may_try("ada", HOME).await?);
        let mut answered = 0;
        for attempt in under_way {
            // Who is kept back learns nothing of the password.
            let told = match ending {
                Ending::Wrong => attempt.failed().await?,
                Ending::Right => attempt.succeeded().await?,
            };
            answered += u32::from(told == Told::AsItIs);
        }
        assert_eq!(answered, 5);
        // What was kept back does not count: one failure and five, or none after the last success.
        let delay = test.begin("ada", HOME).await?.err();
        let expected = (ending == Ending::Wrong).then_some(Duration::from_secs(2));
        assert_eq!(delay, expected);
    }
    Ok(())
}

#[tokio::test]
async fn an_attempt_of_which_nothing_is_heard_has_failed() -> Result<(), BoxError> {
    let test = Test::new();
    let mut lost = Vec::new();
    for _ in 0..5 {
        lost.push(test.granted("ada", ABROAD).await?);
    }
    assert!(!test.may_try("ada", ABROAD).await?);
    test.pass(360);
    // Five have failed, and a second has passed.
    test.fails("ada", ABROAD).await?;
    assert_eq!(test.wait("ada", ABROAD).await?.as_secs(), 2);
    // One that ends later takes back nothing.
    for attempt in lost {
        told(attempt.withdraw().await?)?;
    }
    assert_eq!(test.wait("ada", ABROAD).await?.as_secs(), 2);
    Ok(())
}

#[tokio::test]
async fn strangers_do_not_lock_out_a_source_that_has_succeeded() -> Result<(), BoxError> {
    let test = Test::new();
    test.succeeds("ada", HOME).await?;
    test.fails_times(100, "ada", ABROAD).await?;
    assert!(!test.may_try("ada", ABROAD).await?);
    test.succeeds("ada", HOME).await?;
    // That gives strangers no new tries: they would have some as often as she logs in.
    assert!(!test.may_try("ada", ABROAD).await?);
    Ok(())
}

#[tokio::test]
async fn a_source_is_known_since_it_logged_in_and_not_since_it_failed() -> Result<(), BoxError> {
    let test = Test::new();
    test.succeeds("ada", HOME).await?;
    test.clock.advance(80 * DAY);
    test.fails("ada", HOME).await?;
    test.clock.advance(10 * DAY);
    test.fails_times(5, "ada", ABROAD).await?;
    assert!(!test.may_try("ada", HOME).await?);
    Ok(())
}

#[tokio::test]
async fn who_has_not_failed_waits_for_no_clock() -> Result<(), BoxError> {
    let test = Test::new();
    test.succeeds("ada", HOME).await?;
    test.clock.set(test.clock.now() - 2 * HOUR);
    test.succeeds("ada", HOME).await?;
    test.clock.set(test.clock.now() - 300 * DAY);
    test.granted("ada", HOME).await.map(drop)
}

#[tokio::test]
async fn a_clock_that_was_wrong_locks_nobody_out() -> Result<(), BoxError> {
    for (failures, wait) in [(8, 8), (100, 30 * 24 * 3600)] {
        let test = Test::new();
        let right = test.clock.now();
        test.clock.advance(365 * DAY);
        test.fails_times(failures, "ada", ABROAD).await?;
        test.clock.set(right);
        // It counts, at the right time.
        test.fails("ada", ABROAD).await?;
        let more = if failures < 100 { 2 } else { 1 };
        assert_eq!(test.wait("ada", ABROAD).await?.as_secs(), more * wait);
    }
    Ok(())
}

#[tokio::test]
async fn an_attempt_that_is_withdrawn_delays_nobody() -> Result<(), BoxError> {
    let test = Test::new();
    test.fails_times(20, "ada", ABROAD).await?;
    test.pass(900);
    told(test.granted("ada", ABROAD).await?.withdraw().await?)?;
    test.fails("ada", ABROAD).await?;
    test.pass(1);
    assert_eq!(test.wait("ada", ABROAD).await?.as_secs(), 899);
    Ok(())
}

#[tokio::test]
async fn an_attempt_takes_back_no_other_than_itself() -> Result<(), BoxError> {
    let test = Test::new();
    let mut hanging = Vec::new();
    for _ in 0..3 {
        hanging.push(test.granted("ada", ABROAD).await?);
    }
    test.succeeds("ada", ABROAD).await?;
    test.fails_times(4, "ada", ABROAD).await?;
    test.fails_times(4, "ada", HOME).await?;
    for attempt in hanging {
        told(attempt.withdraw().await?)?;
    }
    test.fails("ada", ABROAD).await?;
    test.fails("ada", HOME).await?;
    assert!(!test.may_try("ada", ABROAD).await?);
    assert!(!test.may_try("ada", HOME).await?);
    Ok(())
}

#[tokio::test]
async fn a_known_source_has_no_more_tries_than_others() -> Result<(), BoxError> {
    let test = Test::new();
    test.succeeds("ada", HOME).await?;
    test.fails_times(5, "ada", HOME).await?;
    assert_eq!(test.wait("ada", HOME).await?.as_secs(), 1);
    // Its failures are not those of strangers.
    test.fails_times(4, "ada", ABROAD).await?;
    assert!(test.may_try("ada", ABROAD).await?);
    // Nor is it known for another account.
    test.fails_times(5, "eve", ABROAD).await?;
    assert!(!test.may_try("eve", HOME).await?);
    Ok(())
}

#[tokio::test]
async fn a_source_is_known_for_ninety_days() -> Result<(), BoxError> {
    for (days, is_known) in [(89, true), (90, false)] {
        let test = Test::new();
        test.succeeds("ada", HOME).await?;
        test.clock.advance(days * DAY);
        test.fails_times(5, "ada", ABROAD).await?;
        assert_eq!(test.may_try("ada", HOME).await?, is_known, "{days}");
    }
    Ok(())
}

#[tokio::test]
async fn of_an_account_eight_sources_are_known() -> Result<(), BoxError> {
    let test = Test::new();
    let sources: Vec<_> = (1..=9).map(|n| Ipv4Addr::new(192, 0, 2, n)).collect();
    for source in &sources {
        test.pass(1);
        test.succeeds("ada", (*source).into()).await?;
    }
    test.fails_times(5, "ada", ABROAD).await?;
    for (n, source) in sources.into_iter().enumerate() {
        assert_eq!(test.may_try("ada", source.into()).await?, n > 0, "{n}");
    }
    Ok(())
}

/// Whoever has one address of IPv6 has 2^64.
#[tokio::test]
async fn a_source_of_ipv6_is_a_network() -> Result<(), BoxError> {
    let test = Test::new();
    let home = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
    let same_network = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9);
    let other_network = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1);
    test.succeeds("ada", home.into()).await?;
    let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
    test.succeeds("ada", mapped.into()).await?;
    test.fails_times(5, "ada", ABROAD).await?;
    assert!(test.may_try("ada", same_network.into()).await?);
    assert!(!test.may_try("ada", other_network.into()).await?);
    assert!(test.may_try("ada", HOME).await?);
    Ok(())
}

#[test]
fn of_forwarded_addresses_those_of_the_own_proxies_are_believed() -> Result<(), BoxError> {
    let ipv6 = "2001:db8::1".parse::<IpAddr>()?;
    for (values, proxies, expected) in [
        (&["192.0.2.1"][..], 1, Some(HOME)),
        (&["198.51.100.1, 192.0.2.1"], 1, Some(HOME)),
        (&["198.51.100.1", "192.0.2.1"], 1, Some(HOME)),
        (&["192.0.2.1,\t10.0.0.1 "], 2, Some(HOME)),
        (&["9.9.9.9, 192.0.2.1", "10.0.0.1"], 2, Some(HOME)),
        (&["192.0.2.1:1234"], 1, Some(HOME)),
        (&["2001:db8::1"], 1, Some(ipv6)),
        (&["[2001:db8::1]:1234"], 1, Some(ipv6)),
        (&["[2001:db8::1]"], 1, Some(ipv6)),
        (&["192.0.2.1,"], 1, Some(HOME)),
        (&["198.51.100.1", "192.0.2.1, ,", ""], 1, Some(HOME)),
        (&["192.0.2.1"], 2, None),
        (&["192.0.2.1, unknown"], 1, None),
        (&["[2001:db8::1"], 1, None),
        (&["[192.0.2.1]"], 1, None),
        (&[","], 1, None),
        (&[""], 1, None),
        (&[], 1, None),
    ] {
        let bytes: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
        let proxies = NonZeroUsize::new(proxies).ok_or("no proxy")?;
        let address = RemoteAddress::forwarded(bytes, proxies);
        assert_eq!(address, expected.map(RemoteAddress), "{values:?}");
    }
    Ok(())
}

#[tokio::test]
async fn failures_are_forgotten_an_hour_for_each() -> Result<(), BoxError> {
    for (failures, hours) in [(4, 4), (5, 5), (99, 99)] {
        let test = Test::new();
        test.fails_times(failures, "ada", ABROAD).await?;
        test.clock.advance(hours * HOUR - Duration::from_millis(1));
        test.fails("ada", ABROAD).await?;
        assert_eq!(
            test.may_try("ada", ABROAD).await?,
            failures + 1 < 5,
            "{failures}"
        );

        let test = Test::new();
        test.fails_times(failures, "ada", ABROAD).await?;
        test.clock.advance(hours * HOUR);
        test.fails_times(4, "ada", ABROAD).await?;
        assert!(test.may_try("ada", ABROAD).await?, "{failures}");
    }
    Ok(())
}

#[tokio::test]
async fn no_delay_is_cut_short_by_forgetting() -> Result<(), BoxError> {
    let mut test = Test::new();
    let mut policy = ThrottlePolicy::default();
    policy.first_delay = 12 * HOUR;
    policy.max_delay = 12 * HOUR;
    test.throttle = test.throttle.with_policy(policy)?;
    test.fails_times(5, "ada", ABROAD).await?;
    test.clock.advance(11 * HOUR);
    assert_eq!(test.wait("ada", ABROAD).await?, HOUR);
    Ok(())
}

/// A store may compare usernames without regard to case.
#[tokio::test]
async fn spellings_of_a_username_share_their_tries() -> Result<(), BoxError> {
    let test = Test::new();
    for name in ["ada", "Ada", "ADA", "aDa", "adA"] {
        test.fails(name, ABROAD).await?;
    }
    assert!(!test.may_try("ada", ABROAD).await?);
    assert!(test.may_try("adam", ABROAD).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_attempts_at_once_five_may_be_made() -> Result<(), BoxError> {
    let test = Test::new();
    let rivals: Vec<_> = (0..64)
        .map(|_| {
            let throttle = test.throttle.clone();
            tokio::spawn(async move {
                throttle
                    .begin(&Username::new("ada"), &LoginSource::default())
                    .await
            })
        })
        .collect();
    let mut granted = 0;
    for rival in rivals {
        match rival.await? {
            Ok(Admission::Granted(_)) => granted += 1,
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overloaded),
        }
    }
    assert_eq!(granted, 5);
    Ok(())
}

#[tokio::test]
async fn of_one_address_a_hundred_names_may_fail_within_an_hour() -> Result<(), BoxError> {
    let test = Test::new().with_spraying_limit()?;
    let knows = |n: u32| format!("owner-{n}");
    for n in 0..20 {
        test.succeeds(&knows(n), ABROAD).await?;
    }
    let mut failed = 0;
    for n in 0..2_000 {
        if let Ok(attempt) = test.begin(&format!("name-{n}"), ABROAD).await? {
            told(attempt.failed().await?)?;
            failed += 1;
        }
    }
    // The count is near enough.
    assert!((90..=110).contains(&failed), "{failed}");
    // Who has logged in from there is not kept out, nor is anybody elsewhere.
    for n in 0..20 {
        test.succeeds(&knows(n), ABROAD).await?;
    }
    assert!(test.may_try("name-1999", HOME).await?);
    let wait = test.wait("nobody", ABROAD).await?;
    assert!(wait <= HOUR / 4, "{wait:?}");
    test.clock.advance(HOUR);
    assert!(test.may_try("nobody", ABROAD).await?);
    Ok(())
}

#[tokio::test]
async fn one_name_that_fails_often_is_one_name_and_right_logins_are_none() -> Result<(), BoxError> {
    let test = Test::new().with_spraying_limit()?;
    test.fails_times(50, "ada", ABROAD).await?;
    for n in 0..500 {
        test.succeeds(&format!("owner-{n}"), ABROAD).await?;
    }
    assert!(test.may_try("eve", ABROAD).await?);
    Ok(())
}

/// Those that have not ended yet may all fail.
#[tokio::test]
async fn names_that_are_tried_at_once_count() -> Result<(), BoxError> {
    let test = Test::new().with_spraying_limit()?;
    let mut under_way = Vec::new();
    for n in 0..1_000 {
        under_way.extend(test.begin(&format!("name-{n}"), ABROAD).await?.ok());
    }
    assert_eq!(under_way.len(), 100);
    for attempt in under_way {
        told(attempt.withdraw().await?)?;
    }
    assert!(test.may_try("ada", ABROAD).await?);
    Ok(())
}

/// They are those of proxies as a rule.
#[tokio::test]
async fn private_addresses_have_no_limit_of_names() -> Result<(), BoxError> {
    for address in [
        "10.0.0.1",
        "127.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        let test = Test::new().with_spraying_limit()?;
        for n in 0..300 {
            test.fails(&format!("name-{n}"), address.parse()?).await?;
        }
    }
    Ok(())
}

#[test]
fn a_limit_of_names_is_one_that_can_be_counted() {
    for names in [0, 1_001] {
        let mut policy = SprayingPolicy::default();
        policy.names = names;
        let limited = Test::new().throttle.with_spraying_limit(policy);
        let kind = limited.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::InvalidConfig), "{names}");
    }
}

#[tokio::test]
async fn a_full_memory_forgets_who_was_tried_longest_ago() -> Result<(), BoxError> {
    let store = Arc::new(MemoryThrottleStore::new().with_capacity(100));
    let test = Test::over(store, clock());
    for n in 0..1_000 {
        test.fails_times(2, &format!("nobody-{n}"), ABROAD).await?;
    }
    assert!(format!("{:?}", test.store).contains("records: 100,"));
    // In turns: neither displaces the other.
    for _ in 0..5 {
        test.fails("ada", ABROAD).await?;
        test.fails("eve", ABROAD).await?;
    }
    assert!(!test.may_try("ada", ABROAD).await?);
    assert!(!test.may_try("eve", ABROAD).await?);
    Ok(())
}

#[tokio::test]
async fn what_has_expired_is_deleted_by_and_by() -> Result<(), BoxError> {
    let test = Test::new();
    for n in 0..2_500 {
        test.fails(&format!("nobody-{n}"), ABROAD).await?;
    }
    test.clock.advance(HOUR);
    for left in [1_501, 501, 1] {
        test.fails("ada", ABROAD).await?;
        let kept = format!("records: {left},");
        assert!(format!("{:?}", test.store).contains(&kept), "{left}");
    }
    Ok(())
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_corrupt_until_it_is_unlocked() -> Result<(), BoxError> {
    let test = Test::new();
    let ada = Username::new("ada");
    let key = ThrottleKey::of(&ada);
    let garbage = ThrottleRecord::new("garbage");
    test.store
        .replace(&key, None, &garbage, test.clock.now() + DAY)
        .await?;
    let error = test
        .throttle
        .begin(&ada, &LoginSource::default())
        .await
        .err();
    assert_eq!(
        error.map(|error| error.kind()),
        Some(ErrorKind::Corrupt),
        "not known"
    );
    test.throttle.unlock(&ada).await?;
    test.granted("ada", HOME).await.map(drop)
}

#[tokio::test]
async fn after_five_wrong_passwords_a_login_is_429_for_known_and_unknown_users()
-> Result<(), BoxError> {
    let login = Login::new().await?;
    let mut replies = Vec::new();
    for name in ["ada", "nobody"] {
        for _ in 0..5 {
            assert_eq!(login.post(name, "wrong").await.status(), 401);
        }
        let _ = login.hasher.take_work();
        // The right password is not looked at either.
        let reply = login.post(name, "right").await;
        assert_eq!(login.hasher.take_work(), []);
        assert_eq!(reply.status(), 429);
        assert_eq!(reply.body(), br#"{"detail":"Too Many Requests"}"#);
        assert!(reply.headers().any(|header| header == ("retry-after", "1")));
        assert!(
            reply
                .headers()
                .any(|header| header == ("cache-control", "no-store"))
        );
        replies.push(reply);
    }
    assert_eq!(replies[0], replies[1]);

    login.test.pass(1);
    assert_eq!(login.post("ada", "right").await.status(), 200);
    for _ in 0..4 {
        assert_eq!(login.post("ada", "wrong").await.status(), 401);
    }
    assert_eq!(login.post("ada", "right").await.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_shape_of_rfc_6749_has_a_429_of_its_own() -> Result<(), BoxError> {
    let login = Login::new().await?;
    let endpoint = login
        .endpoint
        .clone()
        .with_responder(Arc::new(Rfc6749::new()));
    login.test.fails_times(5, "ada", ABROAD).await?;
    let body = b"grant_type=password&username=ada&password=right";
    let request = LoginRequest::new(Some(URLENCODED), body).with_remote_address(ABROAD);
    let reply = endpoint.handle(request).await;
    assert_eq!(reply.status(), 429);
    assert_eq!(
        reply.body(),
        br#"{"error":"temporarily_unavailable","error_description":"Too Many Requests"}"#
    );
    Ok(())
}

#[tokio::test]
async fn observers_hear_when_many_passwords_are_refused() -> Result<(), BoxError> {
    let observer = Arc::new(RecordingObserver::new());
    let mut login = Login::new().await?;
    login.endpoint = login
        .endpoint
        .with_throttle(login.test.throttle.clone().with_alarm(10))
        .with_audit(Audit::silent().with_observer(Arc::clone(&observer) as _));
    let alarms = || {
        let names = observer.take_names().into_iter();
        names.filter(|name| name == "alarm").count()
    };
    for (names, expected) in [(0..9, 0), (9..10, 1), (10..40, 0)] {
        for n in names {
            assert_eq!(
                login.post(&format!("nobody-{n}"), "wrong").await.status(),
                401
            );
        }
        assert_eq!(alarms(), expected);
    }
    login.test.pass(300);
    for n in 0..10 {
        assert_eq!(login.post(&format!("no-{n}"), "wrong").await.status(), 401);
    }
    assert_eq!(alarms(), 1);
    Ok(())
}

/// What is no password grant costs nobody a try; nor does what was never looked at.
#[tokio::test]
async fn only_passwords_that_were_checked_are_counted() -> Result<(), BoxError> {
    let login = Login::new().await?;
    for _ in 0..10 {
        let request = LoginRequest::new(Some(URLENCODED), b"username=ada");
        assert_eq!(login.endpoint.handle(request).await.status(), 422);
    }
    let broken = Arc::new(BrokenStore::new(ErrorKind::Unavailable));
    let authenticator =
        Authenticator::new(broken, HashPool::inline(Arc::clone(&login.hasher) as _))?;
    let out_of_order = TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new()))
        .with_throttle(login.test.throttle.clone());
    for _ in 0..10 {
        assert_eq!(post(&out_of_order, "ada", "wrong").await.status(), 503);
    }
    for _ in 0..5 {
        assert_eq!(login.post("ada", "wrong").await.status(), 401);
    }
    assert_eq!(login.post("ada", "wrong").await.status(), 429);
    Ok(())
}

#[tokio::test]
async fn a_login_that_the_pool_refuses_costs_the_throttle_nothing() -> Result<(), BoxError> {
    let login = Login::new().await?;
    login.pool.drain().await;
    assert_eq!(login.post("ada", "right").await.status(), 503);
    assert!(format!("{:?}", login.test.store).contains("records: 0,"));
    Ok(())
}

#[tokio::test]
async fn a_throttle_that_is_out_of_order_is_503_and_hashes_nothing() -> Result<(), BoxError> {
    let login = Login::new().await?;
    let broken = Arc::new(BrokenStore::new(ErrorKind::Unavailable));
    let endpoint = login.endpoint.clone().with_throttle(Throttle::new(broken));
    let _ = login.hasher.take_work();
    assert_eq!(post(&endpoint, "ada", "right").await.status(), 503);
    assert_eq!(login.hasher.take_work(), []);
    Ok(())
}

const URLENCODED: &[u8] = b"application/x-www-form-urlencoded";

/// A throttle whose time the test makes.
struct Test {
    throttle: Throttle,
    store: Arc<MemoryThrottleStore>,
    clock: Arc<ManualClock>,
}

impl Test {
    fn new() -> Self {
        Self::over(Arc::new(MemoryThrottleStore::new()), clock())
    }

    fn over(store: Arc<MemoryThrottleStore>, clock: Arc<ManualClock>) -> Self {
        Self {
            throttle: Throttle::new(Arc::clone(&store) as Arc<dyn ThrottleStore>)
                .with_clock(Arc::clone(&clock) as Arc<dyn Clock>),
            store,
            clock,
        }
    }

    fn with_spraying_limit(mut self) -> Result<Self, BoxError> {
        let policy = SprayingPolicy::default();
        self.throttle = self.throttle.with_spraying_limit(policy)?;
        Ok(self)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn granted(&self, username: &str, from: IpAddr) -> Result<Attempt, BoxError> {
        match self.begin(username, from).await? {
            Ok(attempt) => Ok(attempt),
            Err(wait) => Err(format!("refused for {wait:?}").into()),
        }
    }

    async fn wait(&self, username: &str, from: IpAddr) -> Result<Duration, BoxError> {
        let begun = self.begin(username, from).await?;
        begun.err().ok_or_else(|| "it is granted".into())
    }

    async fn begin(
        &self,
        username: &str,
        from: IpAddr,
    ) -> Result<Result<Attempt, Duration>, BoxError> {
        let username = Username::new(username);
        match self
            .throttle
            .begin(&username, &LoginSource::at(from))
            .await?
        {
            Admission::Granted(attempt) => Ok(Ok(attempt)),
            Admission::Refused { retry_after, .. } => Ok(Err(retry_after)),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Whether an attempt would be granted; none is counted.
    async fn may_try(&self, username: &str, from: IpAddr) -> Result<bool, BoxError> {
        match self.begin(username, from).await? {
            Ok(attempt) => Ok(attempt.withdraw().await? == Told::AsItIs),
            Err(_) => Ok(false),
        }
    }

    async fn succeeds(&self, username: &str, from: IpAddr) -> Result<(), BoxError> {
        told(self.granted(username, from).await?.succeeded().await?)
    }

    async fn fails(&self, username: &str, from: IpAddr) -> Result<(), BoxError> {
        told(self.granted(username, from).await?.failed().await?)
    }

    /// As soon as each may be made.
    async fn fails_times(&self, times: u32, username: &str, from: IpAddr) -> Result<(), BoxError> {
        for _ in 0..times {
            match self.begin(username, from).await? {
                Ok(attempt) => told(attempt.failed().await?)?,
                Err(wait) => {
                    self.clock.advance(wait);
                    self.fails(username, from).await?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Right,
    Wrong,
}

fn told(told: Told) -> Result<(), BoxError> {
    match told {
        Told::AsItIs => Ok(()),
        Told::NotNow { retry_after } => Err(format!("not now, but in {retry_after:?}").into()),
    }
}

/// An endpoint with the user `ada`, whose password is `right`.
struct Login {
    endpoint: TokenEndpoint,
    test: Test,
    pool: HashPool,
    hasher: Arc<FakeHasher>,
}

impl Login {
    async fn new() -> Result<Self, BoxError> {
        let hasher = Arc::new(FakeHasher::new(1));
        let pool = HashPool::inline(Arc::clone(&hasher) as _);
        let users = Arc::new(MemoryCredentialStore::new());
        let mut ada = Credential::new(UserId::new("1"), Username::new("ada"));
        ada.password_hash = Some(pool.hash("right".to_owned().into()).await?);
        users.create(&ada).await?;
        let test = Test::new();
        let authenticator = Authenticator::new(users, pool.clone())?;
        let endpoint = TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new()))
            .with_throttle(test.throttle.clone());
        Ok(Self {
            endpoint,
            test,
            pool,
            hasher,
        })
    }

    async fn post(&self, username: &str, password: &str) -> Reply {
        post(&self.endpoint, username, password).await
    }
}

async fn post(endpoint: &TokenEndpoint, username: &str, password: &str) -> Reply {
    let body = format!("username={username}&password={password}");
    let request = LoginRequest::new(Some(URLENCODED), body.as_bytes());
    endpoint.handle(request.with_remote_address(ABROAD)).await
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + 365 * DAY))
}
