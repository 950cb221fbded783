//! The threads of an import: those that cut a file into rows and judge them. They take what processor time the answers leave, for a
//! citizen at a counter waits and a load of a million rows does not.
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// How far behind the rest of the hub: about a tenth of a core's time where answers want all of it (`nice(2)`).
const NICE: i32 = 10;

/// Something to be done by one of the threads.
type Job = Box<dyn FnOnce() + Send>;

/// A thread for each core. They end when this is dropped and what was asked for is done.
pub(super) struct Judges(mpsc::Sender<Job>);

impl Judges {
    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no thread at all.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let begun = (0..cores).map(|_| {
            let waiting = waiting.clone();
            behind("import-judge", move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { return };
                    job();
                }
            })
        });
        begun.reduce(Result::or).unwrap_or(Ok(()))?; // one is enough to go on
        Ok(Self(jobs))
    }

    /// Has it done by the next thread that is free. Where all have ended in panics it is dropped, and with it the end of a channel that
    /// somebody listens at.
    pub(super) fn judge(&self, job: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(job));
    }
}

/// Starts a thread that goes behind others.
///
/// # Errors
/// When the system gives none.
pub(super) fn behind(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = move || {
        // On Linux this is the thread's own. A system that refuses has imports and answers side by side.
        let _as_it_was = rustix::process::nice(NICE);
        work();
    };
    std::thread::Builder::new().name(name.into()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_judged_behind_answers_and_after_a_panic_too() {
        let judges = Judges::start().unwrap();
        let (tell, told) = mpsc::channel();
        let mine = rustix::process::nice(0).unwrap();
        judges.judge(|| panic!("a row that nobody foresaw"));
        for _ in 0..8 {
            let tell = tell.clone();
            judges.judge(move || tell.send(rustix::process::nice(0).unwrap()).unwrap());
        }
        drop(tell);
        let nice: Vec<i32> = told.iter().collect();
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            assert_eq!(nice, vec![(mine + NICE).min(19); 8]);
        }
        assert_eq!(rustix::process::nice(0).unwrap(), mine, "only those threads");
    }
}
