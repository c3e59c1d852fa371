//! The accuracy bars on published sets: the shipped model and thresholds, no labels.

use people::accuracy::{BARS, measure};

#[test]
fn every_bar_is_reached() {
    for bar in BARS {
        let Some(people) = (bar.load)().expect("a readable data set") else { continue };
        let measured = measure(&people);
        let confusion = measured.confusion;
        assert!(confusion.f1() >= bar.least_f1, "{}: F1 {:.5} {confusion:?}", bar.name, confusion.f1());
        assert!(confusion.precision() >= bar.least_precision, "{}: precision {confusion:?}", bar.name);
        assert_eq!(measured.generations_mixed, 0, "{}: a senior and a junior are one", bar.name);
    }
}

#[test]
fn synthetic_people_are_found_without_joining_strangers() {
    let people = people::synthetic::people(5_000, 7);
    let confusion = measure(&people).confusion;
    assert!(confusion.precision() >= 0.99, "{confusion:?}");
    assert!(confusion.recall() >= 0.95, "{confusion:?}");
}
