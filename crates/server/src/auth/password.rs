//! Passwords: argon2id with the parameters OWASP gives for interactive sign-in (19 MiB, two passes, one lane).

use crate::random::Random;
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

/// Shorter ones are refused; there are no rules about character classes, because length is what counts.
pub const LENGTH_MIN: usize = 12;
/// Longer input only costs time.
pub const LENGTH_MAX: usize = 256;

fn hasher() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("constants within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password in PHC form. Takes tens of milliseconds: call it off the async threads.
pub fn hash(password: &str, random: Random) -> String {
    let mut salt = [0; 16];
    random(&mut salt);
    hasher().hash_password_with_salt(password.as_bytes(), &salt).expect("a 16 byte salt is valid").to_string()
}

/// Whether the password fits. As slow as `hash`; unreadable hashes fit nothing.
pub fn fits(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    password.len() <= LENGTH_MAX && hasher().verify_password(password.as_bytes(), &hash).is_ok()
}

pub fn is_hash(text: &str) -> bool {
    text.starts_with("$argon2id$") && PasswordHash::new(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_fits() {
        let hashed = hash("correct horse battery", |salt| salt.fill(7));
        assert!(is_hash(&hashed), "{hashed}");
        assert!(hashed.contains("m=19456,t=2,p=1"), "{hashed}");
        assert!(fits("correct horse battery", &hashed));
        for wrong in ["", "correct horse batterz", "Correct horse battery"] {
            assert!(!fits(wrong, &hashed), "{wrong}");
        }
        assert!(!fits("correct horse battery", "plain text"));
    }
}
