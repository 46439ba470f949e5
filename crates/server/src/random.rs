//! The one place that reads the system's random source: tokens, keys and salts come from here.
#![expect(clippy::disallowed_methods, reason = "this is the adapter of the random source")]

/// Fills `bytes` with random bytes. Whoever needs random takes such a function, so that tests can pass a counter.
pub type Random = fn(&mut [u8]);

/// The system's source. Without one no secret can be made, so there is nothing to fall back to.
pub fn system(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has a random source");
}

/// A token of 160 random bits in lower-case letters and digits.
pub fn token(random: Random) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0; 32];
    random(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}
