//! API keys: `cdk_<id>_<secret>`. The prefix lets secret scanners find a leaked one; the id finds its row without a search.

use super::{
    principals::Key,
    roles::{Role, Sites},
};
use crate::random::{self, Random};
use sha2::{Digest, Sha256};

/// Makes a key. The text is shown once; the row keeps its hash.
pub fn make(name: &str, role: Role, sites: Sites, random: Random) -> (String, Key) {
    let token = random::token(random);
    let (id, secret) = token.split_at(8);
    let text = format!("cdk_{id}_{secret}");
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    let key = Key { name: name.into(), role, sites, id: id.into(), hash };
    (text, key)
}

/// The id part of a key's text, if it has the form of one.
pub fn id(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix("cdk_")?.split_once('_')?;
    (id.len() == 8 && secret.len() == 24).then_some(id)
}

/// Whether the text is this key.
pub fn fits(text: &str, key: &Key) -> bool {
    let mut stored = [0; 32];
    hex::decode_to_slice(&key.hash, &mut stored).is_ok() && same(&Sha256::digest(text.as_bytes()).into(), &stored)
}

/// Compares without stopping at the first difference.
pub fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    std::hint::black_box(left.iter().zip(right).fold(0, |different, (l, r)| different | (l ^ r))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fits_itself_and_nothing_near_it() {
        let (text, key) = make("shop", Role::Machine, Sites::All, |bytes| bytes.fill(3));
        assert_eq!(id(&text), Some(key.id.as_str()));
        assert!(fits(&text, &key));
        assert!(!key.hash.contains(&text[13..]), "only the hash is kept");
        for wrong in [text.to_uppercase(), format!("{text}0"), text[..text.len() - 1].to_owned(), String::new()] {
            assert!(!fits(&wrong, &key), "{wrong}");
        }
        for wrong in ["", "cdk_", "cdk_a_b", "Bearer"] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
    }
}
