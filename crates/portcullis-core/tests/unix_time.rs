//! Times as numbers since 1970.

use std::time::{Duration, SystemTime};

use portcullis_core::clock::UnixTime;

#[test]
fn what_is_outside_of_1970_to_9999_is_none_or_the_nearest() {
    let epoch = SystemTime::UNIX_EPOCH;
    let (nano, micro) = (Duration::from_nanos(1), Duration::from_micros(1));
    let last = UnixTime::MAX.to_system();
    for (time, expected, nearest) in [
        (epoch - nano, None, UnixTime::MIN),
        (epoch, Some(UnixTime::MIN), UnixTime::MIN),
        (epoch + nano, Some(UnixTime::MIN), UnixTime::MIN),
        (last, Some(UnixTime::MAX), UnixTime::MAX),
        (last + micro - nano, Some(UnixTime::MAX), UnixTime::MAX),
        (last + micro, None, UnixTime::MAX),
    ] {
        assert_eq!(UnixTime::from_system(time), expected, "{time:?}");
        assert_eq!(UnixTime::saturating_from_system(time), nearest, "{time:?}");
    }
}

#[test]
fn numbers_come_back_as_they_went_in_up_to_the_end_of_9999() {
    let (seconds, millis) = (UnixTime::MAX.seconds(), UnixTime::MAX.millis());
    assert_eq!(seconds, 253_402_300_799);
    let of_seconds = UnixTime::from_seconds(seconds);
    assert_eq!(of_seconds.map(UnixTime::seconds), Some(seconds));
    let of_millis = UnixTime::from_millis(millis);
    assert_eq!(of_millis.map(UnixTime::millis), Some(millis));
    let of_micros = UnixTime::from_micros(UnixTime::MAX.micros());
    assert_eq!(of_micros, Some(UnixTime::MAX));
    for beyond in [
        UnixTime::from_seconds(seconds + 1),
        UnixTime::from_seconds(u64::MAX),
        UnixTime::from_millis(millis + 1),
        UnixTime::from_millis(u64::MAX),
        UnixTime::from_micros(UnixTime::MAX.micros() + 1),
    ] {
        assert_eq!(beyond, None);
    }
}
