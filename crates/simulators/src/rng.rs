//! A small seeded random source (SplitMix64), so that one seed gives one run on every machine and in every release.

use std::ops::RangeInclusive;

#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A source for one purpose: the same seed with another name gives an unrelated sequence.
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a over the name; it only has to separate a handful of names.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut rng = Rng(seed ^ hash);
        rng.draw();
        rng
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether an event of this probability happens. A zero rate draws nothing, so an unused fault does not shift the rest.
    pub fn chance(&mut self, rate: f64) -> bool {
        rate > 0.0 && ((self.draw() >> 11) as f64 / (1u64 << 53) as f64) < rate
    }

    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        if high <= low { low } else { low + self.draw() % (high - low + 1) }
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.draw() as usize % items.len()]
    }

    /// Lower-case letters and digits, as ids use them.
    pub fn token(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut out = String::with_capacity(length);
        while out.len() < length {
            let mut bits = self.draw();
            for _ in 0..12.min(length - out.len()) {
                out.push(ALPHABET[(bits & 31) as usize] as char);
                bits >>= 5;
            }
        }
        out
    }
}
