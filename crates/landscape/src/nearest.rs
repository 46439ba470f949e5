//! The valid name closest to a mistyped one.

/// The candidate with the smallest edit distance, if it is close enough to have been meant.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = given.chars().count();
    // A third of the letters may be wrong, at least one and at most four; more is another word.
    let tolerance = (length / 3).clamp(1, 4);
    let lower = given.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != given)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits to get from one to the other: a letter inserted, removed, replaced, or two neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(128).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (i, letter) in left.chars().take(128).enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(letter != *other);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && previous == Some(*other) && letter == right[j - 1] {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        previous = Some(letter);
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_meant_is_found_and_another_word_is_not_offered() {
        let words = ["currency", "time_zone", "sites", "erp", "tax"];
        for (given, expected) in [
            ("curency", Some("currency")),
            ("timezone", Some("time_zone")),
            ("time-zone", Some("time_zone")),
            ("site", Some("sites")),
            ("rep", Some("erp")),
            ("Tax", Some("tax")),
            ("warehouse", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, words), expected, "{given}");
        }
    }
}
