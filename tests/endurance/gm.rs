//! SM2, signed and verified over and over on every core: two widely used libraries failed about once in a million, by an encoding that
//! came out a byte short. The short form proves the harness; ten million rounds are the long one (`make gm`).
use crate::figure::{self, Target};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wuku::gm::{PrivateKey, PublicKey, Signature, sm3};

const ROUNDS: u64 = 2_000;
const ROUNDS_LONG: u64 = 10_000_000;
/// Rounds with one key.
const ROUNDS_A_KEY: u64 = 50;
/// One round in so many tries another message too: what would accept a wrong one would accept many.
const ROUNDS_A_REFUSAL: u64 = 10;
/// Rounds that one core takes at a time.
const SHARE: u64 = 500;

/// A key and messages of no pattern, from the round's number: a failing round can be tried again alone.
fn bytes(seed: u64, round: u64, label: &[u8]) -> [u8; 32] {
    sm3(&[label, &seed.to_be_bytes(), &round.to_be_bytes()])
}

/// One round: what is signed verifies in both encodings, each of which comes back as it was; now and then, not over another message.
fn round(private: &PrivateKey, public: &PublicKey, seed: u64, at: u64) -> Result<(), String> {
    let wrong = |what: &str| format!("seed {seed}, round {at}: {what}");
    let message = bytes(seed, at, b"message");
    let length = usize::from(message[0]) % message.len();
    let (head, tail) = message.split_at(length);
    let signature = private.sign(&[head, tail]).map_err(|_| wrong("does not sign"))?;
    let (der, raw) = (signature.to_der(), signature.to_raw());
    let from_der = Signature::from_der(&der).map_err(|_| wrong("its DER does not read"))?;
    let from_raw = Signature::from_raw(&raw).map_err(|_| wrong("its r and s do not read"))?;
    if from_der != signature || from_raw != signature {
        return Err(wrong("comes back as another"));
    }
    public.verify(&[&message], &from_der).map_err(|_| wrong("does not verify"))?;
    if !at.is_multiple_of(ROUNDS_A_REFUSAL) {
        return Ok(());
    }
    let mut other = message;
    other[usize::from(message[1]) % 32] ^= 1;
    match public.verify(&[&other], &from_raw) {
        Ok(()) => Err(wrong("verifies over another message")),
        Err(_) => Ok(()),
    }
}

#[test]
fn every_signature_verifies_and_none_over_another_message() {
    let rounds = if figure::long() { ROUNDS_LONG } else { ROUNDS };
    let seed = std::env::var("WUKU_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from_be_bytes(crate::client::random()));
    eprintln!("WUKU_SEED={seed}");
    let cores = std::thread::available_parallelism().unwrap().get();
    let (next, done, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(|| work(seed, rounds, &next, &done))).collect();
        let teller = scope.spawn(|| tell(rounds, &done, &over, begun));
        let failed = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        over.store(true, Ordering::SeqCst);
        teller.thread().unpark();
        failed
    });
    let ran = done.load(Ordering::SeqCst);
    assert!(failed.is_empty(), "{failed:?}");
    // What was run is counted where it was run; that it is all of them is asserted, not assumed.
    assert_eq!(ran, rounds);
    figure::note("gm", "SM2 rounds signed and verified", ran as f64, "rounds", Target::AtLeast(rounds as f64));
    figure::note("gm", "of them wrong", failed.len() as f64, "rounds", Target::Exactly(0.0));
    let rate = ran as f64 / begun.elapsed().as_secs_f64();
    figure::note("gm", &format!("rate on {cores} cores"), rate.round(), "rounds/s", Target::None);
}

/// Takes shares of the rounds until none is left; says which failed.
fn work(seed: u64, rounds: u64, next: &AtomicU64, done: &AtomicU64) -> Vec<String> {
    let mut failed = Vec::new();
    loop {
        let from = next.fetch_add(SHARE, Ordering::SeqCst);
        if from >= rounds {
            return failed;
        }
        let to = rounds.min(from + SHARE);
        for first in (from..to).step_by(usize::try_from(ROUNDS_A_KEY).unwrap()) {
            let private = PrivateKey::from_bytes(&bytes(seed, first, b"key")).unwrap();
            let public = private.public_key().unwrap();
            for at in first..to.min(first + ROUNDS_A_KEY) {
                failed.extend(round(&private, &public, seed, at).err());
                done.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Says every half a minute how far it is.
fn tell(rounds: u64, done: &AtomicU64, over: &AtomicBool, begun: Instant) {
    let mut told = Instant::now();
    while !over.load(Ordering::SeqCst) {
        std::thread::park_timeout(Duration::from_secs(1));
        if told.elapsed() >= Duration::from_secs(30) {
            told = Instant::now();
            let so_far = done.load(Ordering::SeqCst);
            let left_s = begun.elapsed().as_secs_f64() * (rounds - so_far) as f64 / so_far.max(1) as f64;
            eprintln!("gm: {so_far} of {rounds} rounds, about {:.0} minutes left", left_s / 60.0);
        }
    }
}
