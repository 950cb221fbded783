//! Random numbers that are the same everywhere and for ever (SplitMix64); not for keys.

/// A stream of numbers made from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed, purpose and index: any record can be made without those before it.
    pub fn of(seed: u64, purpose: &str, index: u64) -> Self {
        let mut state = seed;
        for byte in purpose.bytes() {
            state = mixed(state ^ u64::from(byte)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        }
        Self(mixed(state ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93)))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.saturating_sub(low).saturating_add(1).max(1);
        low.saturating_add(i64::try_from(self.below(width.unsigned_abs())).unwrap_or(0))
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of the items, or the default of an empty list.
    pub fn pick<T: Copy + Default>(&mut self, items: &[T]) -> T {
        let at = self.below(items.len() as u64);
        usize::try_from(at).ok().and_then(|at| items.get(at).copied()).unwrap_or_default()
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_index_others() {
        let (mut one, mut same, mut other) = (Random::of(7, "a", 1), Random::of(7, "a", 1), Random::of(7, "a", 2));
        let numbers: Vec<u64> = (0..8).map(|_| one.number()).collect();
        assert!(numbers.iter().all(|number| *number == same.number()));
        assert!(numbers.iter().any(|number| *number != other.number()));
        assert!((0..100).all(|_| (3..=5).contains(&one.between(3, 5))));
        assert_eq!(one.pick::<&str>(&[]), "");
    }
}
