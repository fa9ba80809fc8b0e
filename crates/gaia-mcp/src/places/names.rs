//! Finding places by what people type: any case, with or without accents, whole or begun.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{Atlas, Place};

/// How many letters a name must have before places that only begin with it are found.
const LEAST_BEGINNING: usize = 3;
/// A name that was misspelt is looked for among places of this size.
const LEAST_POPULATION_OF_SUGGESTED: u32 = 20_000;
const MOST_SUGGESTED: usize = 3;
/// How alike a misspelt name must be, from 0 to 1.
const ALIKE: f64 = 0.85;

/// All names in the order of the alphabet, folded.
pub(super) struct Names {
    text: String,
    /// Where a name ends in the text (it begins where the one before ends), and whose it is.
    entries: Vec<(u32, u32)>,
}

impl Names {
    pub(super) fn of<'a>(places: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all = Vec::new();
        for (number, (name, aliases)) in (0_u32..).zip(places) {
            all.push((fold(name), number));
            let others = aliases.split('|').filter(|alias| !alias.is_empty());
            all.extend(others.map(|alias| (fold(alias), number)));
        }
        all.sort_unstable();
        all.dedup();
        let mut text = String::with_capacity(all.iter().map(|(name, _)| name.len()).sum());
        let entries = all
            .iter()
            .map(|(name, number)| {
                text.push_str(name);
                (u32::try_from(text.len()).unwrap_or(u32::MAX), *number)
            })
            .collect();
        Self { text, entries }
    }

    fn name(&self, entry: usize) -> &str {
        let from = entry.checked_sub(1).map_or(0, |before| self.entries[before].0);
        &self.text[from as usize..self.entries[entry].0 as usize]
    }

    fn first_not_before(&self, name: &str) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.name(middle) < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn beginning_with(&self, name: &str) -> impl Iterator<Item = (&str, u32)> {
        let entries = self.first_not_before(name)..self.entries.len();
        entries
            .map(|entry| (self.name(entry), self.entries[entry].1))
            .take_while(move |(found, _)| found.starts_with(name))
    }
}

impl Atlas {
    /// The places with a name, the most populous first: `Munich`, `münchen`, `Paris, Texas`, `Springfield Illinois`.
    /// Only if there are none, those whose names begin so.
    pub(crate) fn find(&self, asked: &str) -> Vec<Place<'_>> {
        let whole = self.named(asked);
        if whole.is_empty() { self.begun(asked) } else { whole }
    }

    /// The places with exactly a name, the most populous first.
    pub(crate) fn named(&self, asked: &str) -> Vec<Place<'_>> {
        let (name, within) = split(asked);
        let found = self.matching(&name, &within, true);
        if !found.is_empty() || !within.is_empty() {
            return found;
        }
        // `Paris Texas`: the last words may say where it is.
        let breaks = name.match_indices(' ').map(|(at, _)| at).rev();
        breaks
            .map(|at| self.matching(&name[..at], &[name[at + 1..].to_owned()], true))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    fn begun(&self, asked: &str) -> Vec<Place<'_>> {
        let (name, within) = split(asked);
        if name.chars().count() < LEAST_BEGINNING {
            return Vec::new();
        }
        self.matching(&name, &within, false)
    }

    fn matching(&self, name: &str, within: &[String], whole: bool) -> Vec<Place<'_>> {
        if name.is_empty() {
            return Vec::new();
        }
        let found = self.names.beginning_with(name);
        let mut numbers: Vec<_> = found
            .filter(|(found, _)| !whole || *found == name)
            .map(|(_, number)| number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let places = numbers.into_iter().filter_map(|number| self.place(number));
        let mut places: Vec<_> = places
            .filter(|place| within.iter().all(|word| place.is_in(word)))
            .collect();
        places.sort_by_key(|place| std::cmp::Reverse(place.population()));
        places
    }

    /// Places whose names are much like a name that nothing has.
    pub(crate) fn suggestions(&self, asked: &str) -> Vec<String> {
        let (name, _) = split(asked);
        let Some(first) = name.chars().next() else {
            return Vec::new();
        };
        let mut alike: Vec<_> = self
            .names
            .beginning_with(&first.to_string())
            .filter(|(known, _)| known.len().abs_diff(name.len()) <= 3)
            .filter_map(|(known, number)| {
                let place = self.place(number)?;
                let likeness = strsim::jaro_winkler(known, &name);
                let counts = likeness >= ALIKE && place.population() >= LEAST_POPULATION_OF_SUGGESTED;
                counts.then_some((likeness, place))
            })
            .collect();
        alike.sort_by(|(one, here), (other, there)| {
            other.total_cmp(one).then(there.population().cmp(&here.population()))
        });
        let mut labels = Vec::new();
        for (_, place) in alike {
            let label = place.label();
            if !labels.contains(&label) && labels.len() < MOST_SUGGESTED {
                labels.push(label);
            }
        }
        labels
    }
}

/// A name and what it lies in, folded.
fn split(asked: &str) -> (String, Vec<String>) {
    let mut parts = asked.split(',').map(fold);
    let name = parts.next().unwrap_or_default();
    (name, parts.filter(|part| !part.is_empty()).collect())
}

/// A name as it is compared: in lower case, without accents and punctuation, with single spaces.
pub(crate) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    let mut push = |letter: char| {
        if letter.is_alphanumeric() {
            folded.extend(letter.to_lowercase());
        } else if matches!(letter, '\'' | '’' | 'ʼ' | '.') {
            // `L'Aquila` and `St. Louis` are also written without.
        } else if !folded.is_empty() && !folded.ends_with(' ') {
            folded.push(' ');
        }
    };
    if name.is_ascii() {
        name.chars().for_each(push);
    } else {
        for letter in name.nfkd().filter(|letter| !is_combining_mark(*letter)) {
            match plain(letter) {
                Some(letters) => letters.chars().for_each(&mut push),
                None => push(letter),
            }
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// Letters whose strokes are no accents to Unicode.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'ø' | 'Ø' => "o",
        'ł' | 'Ł' => "l",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'þ' | 'Þ' => "th",
        'ı' => "i",
        'ħ' | 'Ħ' => "h",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_accents_and_punctuation() {
        for (written, folded) in [
            ("  São   Paulo ", "sao paulo"),
            ("Łódź", "lodz"),
            ("L’Aquila", "laquila"),
            ("St. Louis", "st louis"),
            ("Aix-en-Provence", "aix en provence"),
            ("Straße", "strasse"),
            ("МОСКВА", "москва"),
            ("慕尼黑", "慕尼黑"),
            ("", ""),
        ] {
            assert_eq!(fold(written), folded, "{written}");
        }
    }

    #[test]
    fn the_atlas_is_whole() {
        let atlas = Atlas::open();
        assert!(atlas.rows.len() > 140_000, "{} places", atlas.rows.len());
        assert!(atlas.countries.len() > 240);
        let last = atlas.place(u32::try_from(atlas.rows.len() - 1).unwrap()).unwrap();
        assert_eq!(last.country().code, "ZW", "sizes of regions and number of names agree");
        assert_eq!(last.time_zone(), "Africa/Harare");
        let sums = atlas.rows.iter().map(|row| row.point());
        assert!(
            sums.into_iter()
                .all(|point| point.latitude.abs() <= 90.0 && point.longitude.abs() <= 180.0)
        );
    }

    #[test]
    fn the_most_populous_place_of_a_name_comes_first() {
        let first = |asked: &str| Atlas::open().find(asked)[0].label();
        assert_eq!(first("paris"), "Paris, Île-de-France, France");
        assert_eq!(first("Paris, Texas"), "Paris, Texas, United States");
        assert_eq!(first("Springfield Illinois"), "Springfield, Illinois, United States");
        assert_eq!(first("München"), "Munich, Bavaria, Germany");
        assert_eq!(first("慕尼黑"), "Munich, Bavaria, Germany");
        assert_eq!(first("London, CA"), "London, Ontario, Canada");
        assert_eq!(first("reykj"), "Reykjavík, Capital Region, Iceland");
    }

    #[test]
    fn a_misspelt_name_gets_suggestions() {
        assert!(Atlas::open().find("Reykjvaik").is_empty());
        let suggested = Atlas::open().suggestions("Reykjvaik");
        assert!(suggested[0].starts_with("Reykjavík"), "{suggested:?}");
    }
}
