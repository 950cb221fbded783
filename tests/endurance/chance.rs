//! xorshift64*: enough to choose with, and repeatable (`WUKU_SEED`).

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From `WUKU_SEED`, or by chance; says which, so that a failure can be tried again.
    pub fn seeded() -> Self {
        let seed = std::env::var("WUKU_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from_be_bytes(crate::client::random()) | 1);
        eprintln!("WUKU_SEED={seed}");
        Self(seed)
    }

    /// From a number of one's own.
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, never 0.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1
    }

    /// From `low` up to but not `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + (self.next() >> 8) % (high - low)
    }

    /// From 0 up to but not `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.between(0, end as u64)).unwrap()
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Another source, independent of this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }
}
