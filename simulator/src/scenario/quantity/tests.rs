//! Quantities: what is read, what is refused, and that what is written reads the same.

use proptest::prelude::*;

use super::*;

fn value<T: Quantity>(text: &str) -> Option<T> {
    T::read(text)
}

#[test]
fn people_write_quantities_in_their_units() {
    assert_eq!(value("1h 30m"), Some(Span::seconds(5400)));
    assert_eq!(value("1.5h"), Some(Span::seconds(5400)));
    assert_eq!(value("250us"), Some(Span(Duration::from_micros(250))));
    assert_eq!(value("64kB"), Some(Size(64_000)));
    assert_eq!(value("1.5 MiB"), Some(Size(1_572_864)));
    assert_eq!(value("64kbit/s"), Some(Bandwidth(64_000)));
    assert_eq!(value("0.05%"), Some(Share(500)));
    assert_eq!(value("100%"), Some(Share(1_000_000)));
    assert_eq!(value("2/day"), Some(Rate(2_000_000)));
    assert_eq!(value("0.5/h"), Some(Rate(12_000_000)));
    assert_eq!(value("7/week"), Some(Rate(1_000_000)));
    assert_eq!(value("-5m"), Some(Offset(-300_000)));
    assert_eq!(value("-40ppm"), Some(Drift(-40)));
    assert_eq!(value("24:00"), Some(TimeOfDay(1440)));
    assert_eq!(value("-03:30"), Some(UtcOffset(-210)));
    assert_eq!(value("2026-01-05T00:00:00Z"), Some(Timestamp::default()));
    assert_eq!(value("0.25"), Some(Factor(250_000)));
}

#[test]
fn what_is_no_quantity_is_refused_and_not_rounded() {
    assert!(
        ["", "5", "5 sex", "-5s", "1e3s", "999999999999999999999y"].into_iter().all(|it| value::<Span>(it).is_none())
    );
    assert!(["5", "5mb", "0.5B", "-1B", "1e3B", "99999999999GB"].into_iter().all(|it| value::<Size>(it).is_none()));
    assert!(["64k", "64kB/s", "0.0001bit/s"].into_iter().all(|it| value::<Bandwidth>(it).is_none()));
    assert!(["2", "101%", "-1%", "0.00001%", "1.%", ".5%"].into_iter().all(|it| value::<Share>(it).is_none()));
    assert!(["2", "2/year", "/day", "-1/day"].into_iter().all(|it| value::<Rate>(it).is_none()));
    assert!(["8:30", "24:01", "12:60", "+1:00"].into_iter().all(|it| value::<TimeOfDay>(it).is_none()));
    assert!(["01:00", "+15:00", "+01"].into_iter().all(|it| value::<UtcOffset>(it).is_none()));
    assert!(["2026-01-05", "1969-12-31T23:59:59Z"].into_iter().all(|it| value::<Timestamp>(it).is_none()));
}

#[test]
fn a_range_is_ordered_and_its_mean_is_inside() {
    let range = |text| read::range::<Span>(text);
    let (least, most) = (Span::seconds(30), Span::seconds(300));
    assert_eq!(range("30s"), Some(Range::exactly(least)));
    assert_eq!(range("30s..5m"), Some(Range { least, most, mean: None }));
    assert_eq!(range("30s..5m mean 1m"), Some(Range { least, most, mean: Some(Span::seconds(60)) }));
    assert!(
        ["5m..30s", "30s..", "..5m", "30s..5m mean 6m", "30s..5m mean", "30s...5m"]
            .iter()
            .all(|it| range(it).is_none())
    );
}

fn written<T: Quantity + fmt::Debug>(value: T) -> Result<(), TestCaseError> {
    let text = value.to_string();
    prop_assert_eq!(T::read(&text), Some(value), "{}", text);
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        small in any::<u32>(), large in 0..(1_u64 << 53), signed in -(1_i64 << 50)..(1_i64 << 50), drift in any::<i32>(),
        nanos in 0..1_000_000_000_u32, share in 0..=1_000_000_u32, minutes in 0..=1440_u16, offset in -840..=840_i16,
    ) {
        written(Span(Duration::new(small.into(), nanos)))?;
        written(Offset(signed))?;
        written(Drift(drift))?;
        written(Size(large))?;
        written(Bandwidth(large))?;
        written(Share(share))?;
        written(Rate(large >> 8))?;
        written(Factor(large >> 8))?;
        written(Count(small))?;
        written(Timestamp(small.into()))?;
        written(TimeOfDay(minutes))?;
        written(UtcOffset(offset))?;
        let (least, most) = (Offset(signed.min(7)), Offset(signed.max(7)));
        for range in [Range { least, most, mean: None }, Range { least, most, mean: Some(Offset(7)).filter(|_| least < most) }] {
            prop_assert_eq!(read::range(&range.to_string()), Some(range));
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,24}") {
        let _ = (value::<Span>(&text), value::<Offset>(&text), value::<Drift>(&text), value::<Size>(&text));
        let _ = (value::<Bandwidth>(&text), value::<Share>(&text), value::<Rate>(&text), value::<Factor>(&text));
        let _ = (value::<Timestamp>(&text), value::<TimeOfDay>(&text), value::<UtcOffset>(&text));
        let _ = read::range::<Span>(&text);
    }
}
