//! The log goes on under another key: the public entry that says so, then the switch, with no call in between failing.
//!
//! Who verifies must know the new key before anything is signed with it, so it has to be in the trust file first; and the old one
//! must still be open there, for what is under way is signed with it. A crash anywhere leaves a hub that starts with the key in its
//! key file, which is trusted either way: run the rotation again.
use super::Exchange;
use crate::failure::Failure;
use crate::log::{LogKey, VerifierKey};
use crate::receipt::sequencer::{Draft, Unit};
use crate::receipt::trust::{KeyState, Trust, TrustedKey, known_keys};
use crate::wire::proto::receipt::v1::{KeyAdded, PublicEvent, public_event::Event};
use prost::Message;
use std::sync::Arc;

/// A switch that was made, or had been made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The key that signed before.
    pub old: VerifierKey,
    /// The key that signs from now on.
    pub new: VerifierKey,
    /// The greatest size the old key may have signed: what the next trust file closes it at.
    pub old_to_size: u64,
}

/// Why the log does not go on under the new key.
#[derive(Debug, thiserror::Error)]
pub enum NotRotated {
    /// The trust file in force does not list the new key for this log, open and active, or the log is shorter than its sizes.
    #[error(
        "信任文件（第 {epoch} 期）尚未列入新密钥 {id}：先用根密钥签署草稿并放到 trust.file。\
         The trust file in force (epoch {epoch}) does not list the new key {id} as active and open: sign the draft with the root \
         key and put it at trust.file first."
    )]
    NotTrusted {
        /// Epoch of the file in force.
        epoch: u64,
        /// Id of the new key.
        id: String,
    },
    /// The trust file has closed the old key already: what it signs until the switch would be good nowhere.
    #[error(
        "信任文件已关闭现用密钥 {0}，切换前须保持开放。\
         The trust file has closed the present key {0}; it must stay open until after the switch: sign an issue that lists both."
    )]
    OldClosed(String),
    /// A key of another log.
    #[error("新密钥不属于本日志 {0}。The new key is not of this log {0}.")]
    OtherLog(String),
    /// The log did not take the entry.
    #[error("日志未能记录换钥，密钥未变。The log did not record the new key; the old one goes on: {0}")]
    NotRecorded(#[from] Failure),
}

impl Exchange {
    /// Takes over what a trust file says of this log's keys.
    pub fn know(&self, trust: &Trust) {
        self.log_keys.store(Arc::new(known_keys(&self.recorder.ledger().verifier(), Some(trust))));
    }

    /// Goes on under another key, which `trust` must list. Under the key that signs already nothing happens.
    ///
    /// # Errors
    /// [`NotRotated`]; then the old key goes on.
    pub async fn rotate_log_key(&self, new: LogKey, trust: &Trust) -> Result<Switched, NotRotated> {
        let ledger = self.recorder.ledger();
        let (old, verifier) = (ledger.verifier(), new.verifier().clone());
        if old.name() != verifier.name() || old.suite() != verifier.suite() {
            return Err(NotRotated::OtherLog(old.name().to_owned()));
        }
        let listed = known_keys(&old, Some(trust));
        let of = |key: &VerifierKey| listed.iter().find(|trusted| trusted.key == *key);
        let open = |trusted: &TrustedKey| trusted.state == KeyState::Active && trusted.to_size.is_none();
        let size = ledger.latest().head.size;
        let not_trusted = || NotRotated::NotTrusted { epoch: trust.epoch, id: verifier.id_hex() };
        let added = of(&verifier).filter(|t| open(t) && t.from_size <= size).ok_or_else(not_trusted)?;
        if old == verifier {
            // An earlier run switched and was cut before the key file was put in place.
            let before = listed.iter().rfind(|trusted| trusted.key != verifier && open(trusted));
            let old = before.map_or_else(|| verifier.clone(), |trusted| trusted.key.clone());
            return Ok(Switched { old, new: verifier, old_to_size: size });
        }
        if !of(&old).is_some_and(open) {
            return Err(NotRotated::OldClosed(old.id_hex()));
        }
        let event = KeyAdded { vkey: verifier.to_string(), from_size: added.from_size };
        let event = PublicEvent { format: 1, hub: self.hub.clone(), event: Some(Event::KeyAdded(event)) };
        let unit = Unit { drafts: vec![Draft::Public(event.encode_to_vec().into())], ..Unit::default() };
        ledger.record(unit).await.map_err(Failure::from)?;
        self.know(trust);
        // From here a crash leaves the entry and the old key in its file: it signs on, and the rotation is run again.
        ledger.sign_with(new)?;
        // The first batch under the new key: nothing above its first index was ever signed with the old one.
        let old_to_size = self.tick().await?;
        tracing::info!(
            old = old.id_hex(),
            new = verifier.id_hex(),
            size = old_to_size,
            "the log goes on under another key"
        );
        Ok(Switched { old, new: verifier, old_to_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::test_house::{Ground, HUB};
    use crate::log::checkpoint::SignedCheckpoint;
    use crate::log::{HubName, Origin, SuiteName};
    use crate::receipt::trust::TrustedLog;

    fn key(seed: u8) -> LogKey {
        LogKey::from_seed(&format!("{HUB}/wuku/1"), SuiteName::Ed25519, &[seed; 32]).unwrap()
    }

    fn listed(seed: u8, from_size: u64, to_size: Option<u64>) -> TrustedKey {
        TrustedKey { key: key(seed).verifier().clone(), from_size, to_size, state: KeyState::Active }
    }

    fn trust(keys: Vec<TrustedKey>) -> Trust {
        let origin = Origin::parse(&format!("{HUB}/wuku/1")).unwrap();
        let log = TrustedLog { origin, suite: SuiteName::Ed25519, keys, closed_at_s: None };
        Trust { hub: HubName::parse(HUB).unwrap(), epoch: 2, logs: vec![log] }
    }

    #[tokio::test]
    async fn the_log_goes_on_under_a_key_only_once_it_is_trusted() {
        let house = Ground::new().start().await;
        let exchange = &house.exchange;
        let refused = exchange.rotate_log_key(key(8), &trust(vec![listed(7, 0, None)])).await;
        assert!(matches!(refused, Err(NotRotated::NotTrusted { epoch: 2, .. })));
        let early = trust(vec![listed(7, 0, None), listed(8, 1_000_000, None)]);
        assert!(matches!(exchange.rotate_log_key(key(8), &early).await, Err(NotRotated::NotTrusted { .. })));
        let closed = trust(vec![listed(7, 0, Some(50)), listed(8, 1, None)]);
        assert!(matches!(exchange.rotate_log_key(key(8), &closed).await, Err(NotRotated::OldClosed(_))));
        assert_eq!(exchange.recorder.ledger().verifier(), *key(7).verifier());

        let both = trust(vec![listed(7, 0, None), listed(8, 1, None)]);
        let size = exchange.recorder.ledger().latest().head.size;
        let done = exchange.rotate_log_key(key(8), &both).await.unwrap();
        assert_eq!((done.old, done.new), (key(7).verifier().clone(), key(8).verifier().clone()));
        assert_eq!(done.old_to_size, size + 1, "the entry that names the new key is signed with the old one");
        let newest = SignedCheckpoint::parse(&exchange.recorder.ledger().latest().checkpoint).unwrap();
        assert!(key(8).verifier().made(&newest.line) && newest.checkpoint.size == size + 2);
        let again = exchange.rotate_log_key(key(8), &both).await.unwrap();
        assert_eq!(again.old, *key(7).verifier(), "a run that was cut says the same key");
        assert_eq!(exchange.recorder.ledger().latest().head.size, size + 2, "and writes nothing");
    }
}
