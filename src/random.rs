//! Random bytes of the operating system, asked for a page at a time: a system call for each nonce, salt and name of a call costs more
//! than what is done with them.
//!
//! The bytes are the system's own, no generator stands between. What waits is wiped as it is given out, and is never given out twice
//! by one process, which never forks. A virtual machine set back with its memory may give out again what waited: a salt or blind
//! stays unknown to outsiders, and nonces are taken from here only for a cipher that survives a repeated one. Keys never are.
use std::sync::{Mutex, PoisonError};
use zeroize::{Zeroize, Zeroizing};

const PAGE_BYTES: usize = 2_048;

/// A page of random bytes that is filled again when it is used up.
#[derive(Default)]
pub struct Random(Mutex<Page>);

#[derive(Default)]
struct Page {
    bytes: Zeroizing<Vec<u8>>,
    /// Bytes at the front not yet given out.
    left: usize,
}

impl Random {
    /// Random bytes.
    ///
    /// # Errors
    /// When the operating system gives no randomness; then nothing was given out.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], getrandom::Error> {
        let mut out = [0; N];
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if page.left < N {
            page.left = 0;
            page.bytes.resize(PAGE_BYTES.max(N), 0);
            getrandom::fill(page.bytes.as_mut_slice())?;
            page.left = page.bytes.len();
        }
        let begin = page.left.saturating_sub(N);
        let end = page.left;
        if let Some(taken) = page.bytes.get_mut(begin..end) {
            out.copy_from_slice(taken);
            taken.zeroize();
        }
        page.left = begin;
        Ok(out)
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn nothing_is_given_out_twice_over_many_pages_and_threads() {
        let random = Random::default();
        let all: Vec<[u8; 12]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).map(|_| random.bytes().unwrap()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4_000);
        assert!(!all.contains(&[0; 12]), "what was wiped is not random");
    }

    #[test]
    fn what_was_given_out_is_wiped_and_a_want_above_a_page_is_met() {
        let random = Random::default();
        let large: [u8; PAGE_BYTES * 2] = random.bytes().unwrap();
        assert!(large.iter().any(|byte| *byte != 0));
        let page = random.0.lock().unwrap();
        assert!(page.left == 0 && page.bytes.iter().all(|byte| *byte == 0));
    }
}
