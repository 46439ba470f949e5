//! The one name of an order in every system: `channel/site/number`, and the short id made from it.

use crate::{ChannelId, OrderNumber, SiteId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The business key of an order. Numbers repeat between sites, so all three parts are needed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema, Debug)]
pub struct OrderRef {
    pub channel: ChannelId,
    pub site: SiteId,
    pub number: OrderNumber,
}

impl OrderRef {
    /// Reads `channel/site/number`; `None` unless all three parts are there.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (channel, site, number) = (parts.next()?, parts.next()?, parts.next()?);
        if channel.is_empty() || site.is_empty() || number.is_empty() {
            return None;
        }
        Some(Self { channel: channel.into(), site: site.into(), number: number.into() })
    }

    /// Our id: the same on every node and after every restore, because it is made from the key alone.
    pub fn order_id(&self) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let digest = Sha256::digest(self.to_string().as_bytes());
        let text: String = digest.iter().take(16).map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect();
        format!("ord_{text}")
    }
}

impl fmt::Display for OrderRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.channel, self.site, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_read_back_and_its_id_depends_on_every_part() {
        let a = OrderRef::parse("sfcc/RefArch-DE/0001").expect("three parts");
        assert_eq!(OrderRef::parse(&a.to_string()), Some(a.clone()));
        let b = OrderRef::parse("sfcc/RefArch-US/0001").expect("three parts");
        assert_ne!(a.order_id(), b.order_id());
        assert_eq!(a.order_id().len(), 20);
        for wrong in ["", "a/b", "a//c", "/b/c"] {
            assert_eq!(OrderRef::parse(wrong), None, "{wrong}");
        }
    }
}
