//! Names of hubs and of their logs.

use std::fmt;

/// Longest hub name.
const HUB_NAME_BYTES_MAX: usize = 63;

/// A hub's name, `[a-z0-9.-]{1,63}`: the prefix of all its origins and key names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HubName(String);

impl HubName {
    /// The name, if it is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        let fits = (1..=HUB_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
        fits.then(|| Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the key that signs the hub's trust file: `<hub>/root`.
    #[must_use]
    pub fn root_key_name(&self) -> String {
        format!("{}/root", self.0)
    }

    /// Origin of the hub's `number`-th log.
    #[must_use]
    pub fn log(&self, number: std::num::NonZeroU64) -> Origin {
        Origin { hub: self.clone(), number: number.get() }
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one log, `<hub>/wuku/<n>`, n from 1; a new log of the same hub counts one up. Also the name of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    hub: HubName,
    number: u64,
}

impl Origin {
    /// The origin, if the text is exactly how one is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (hub, number) = text.split_once("/wuku/")?;
        let origin = Self { hub: HubName::parse(hub)?, number: parse_decimal(number).filter(|n| *n > 0)? };
        Some(origin)
    }

    /// The hub whose log it is.
    #[must_use]
    pub const fn hub(&self) -> &HubName {
        &self.hub
    }

    /// Which of the hub's logs, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The origin of the log that follows this one, if numbers do not end here.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        Some(Self { hub: self.hub.clone(), number: self.number.checked_add(1)? })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/wuku/{}", self.hub, self.number)
    }
}

/// An unsigned decimal number written in the only allowed way: digits, no sign, no leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_only_in_the_form_it_is_written() {
        assert_eq!(Origin::parse("hub.tiantai/wuku/12").unwrap().to_string(), "hub.tiantai/wuku/12");
        for bad in [
            "",
            "/wuku/1",
            "hub/wuku/0",
            "hub/wuku/01",
            "hub/wuku/+1",
            "Hub/wuku/1",
            "hub/wuku/1/",
            "hub/wuku/1 ",
            "hub/wuku/18446744073709551616",
            "a/b/wuku/1",
            "hub",
            "hub/wuku/",
        ] {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
        assert!(HubName::parse(&"a".repeat(63)).is_some() && HubName::parse(&"a".repeat(64)).is_none());
    }
}
