//! A filter that recognises most keys of attributes that no selector needs, by a few of their
//! bytes.

/// The keys of attributes that every span is asked for. Small enough for the CPU cache, even with
/// many SLOs.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    /// A bit for the length and the last bytes of each key. The first bytes distinguish less: most
    /// keys of a span begin alike. With a thousand keys one of twenty others finds its bit set.
    bits: Box<[u64; Self::WORDS]>,
}

impl Default for KeyFilter {
    fn default() -> Self {
        Self {
            bits: Box::new([0; Self::WORDS]),
        }
    }
}

impl KeyFilter {
    const WORDS: usize = 1 << u8::BITS;

    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        let mut filter = Self::default();
        for key in keys {
            let (word, bit) = place(key.as_bytes());
            if let Some(word) = filter.bits.get_mut(usize::from(word)) {
                *word |= bit;
            }
        }
        filter
    }

    /// Returns whether `key` may be one of the keys: true for each of them, and for few others.
    #[inline]
    pub fn may_contain(&self, key: &[u8]) -> bool {
        let (word, bit) = place(key);
        let word = self.bits.get(usize::from(word));
        word.is_some_and(|word| word & bit != 0)
    }
}

/// Returns the word and the bit of a key: a few instructions, since it is computed for every
/// attribute of every span.
#[inline]
fn place(key: &[u8]) -> (u8, u64) {
    let tail = key.last_chunk().map_or_else(
        || key.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
        |tail| u64::from_le_bytes(*tail),
    );
    let length = u32::try_from(key.len() & 63).unwrap_or_default();
    let mixed = tail.rotate_left(length).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [word, bit, ..] = mixed.to_be_bytes();
    (word, 1 << (bit & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_contains_each_of_its_keys_and_hardly_any_other() {
        for count in [0, 1, 2, 33, 1_000] {
            let keys: Vec<_> = (0..count).map(|n| format!("product_{n}.state")).collect();
            let filter = KeyFilter::new(keys.iter().map(String::as_str));
            assert!(keys.iter().all(|key| filter.may_contain(key.as_bytes())));
            let others =
                (0..10_000).filter(|n| filter.may_contain(format!("other.{n}").as_bytes()));
            assert!(others.count() < 500, "of {count} keys");
        }
    }

    #[test]
    fn short_keys_differ_by_all_their_bytes() {
        let filter = KeyFilter::new(["a", "", "größe"]);
        assert!(
            ["a", "", "größe"]
                .iter()
                .all(|key| filter.may_contain(key.as_bytes()))
        );
        assert!(
            ["b", "aa"]
                .iter()
                .any(|key| !filter.may_contain(key.as_bytes()))
        );
    }
}
