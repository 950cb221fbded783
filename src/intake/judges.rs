//! The threads of an import: those that cut a file into rows and judge them. They take what processor time the answers leave, for a
//! citizen at a counter waits and a load of a million rows does not.
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

/// How far behind the rest of the hub: about a tenth of a core's time where answers want all of it (`nice(2)`).
const NICE: i32 = 10;

/// Something to be done by one of the threads.
type Job = Box<dyn FnOnce() + Send>;

/// A thread for each core. Dropping it waits until they have done what was asked for: nothing of an import outlives who began it.
pub(super) struct Judges {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Judges {
    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no thread at all.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut threads, mut refused) = (Vec::new(), None);
        for _ in 0..cores {
            let waiting = waiting.clone();
            let work = move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { return };
                    job();
                }
            };
            match spawn("import-judge", work) {
                Ok(thread) => threads.push(thread),
                Err(error) => refused = Some(error),
            }
        }
        // One is enough to go on.
        refused.filter(|_| threads.is_empty()).map_or(Ok(Self { jobs: Some(jobs), threads }), Err)
    }

    /// Has it done by the next thread that is free. Where all have ended in panics it is dropped, and with it the end of a channel that
    /// somebody listens at.
    pub(super) fn judge(&self, job: impl FnOnce() + Send + 'static) {
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(Box::new(job)));
    }
}

impl Drop for Judges {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _panicked = thread.join(); // whoever waits for its job is told
        }
    }
}

/// Does something on a thread that goes behind others, and waits for it: on a thread that may wait.
///
/// # Errors
/// When the system gives no thread, or the work ended in a panic.
pub(super) fn behind<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    spawn("import-rows", work)?.join().map_err(|_| io::Error::other("it ended in a panic"))
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        // On Linux this is the thread's own. A system that refuses has imports and answers side by side.
        let _as_it_was = rustix::process::nice(NICE);
        work()
    })
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
        assert_eq!(behind(|| rustix::process::nice(0).unwrap()).unwrap(), (mine + NICE).min(19));
    }

    #[test]
    fn nothing_is_still_judged_when_an_import_has_ended() {
        let held = Arc::new(());
        let judges = Judges::start().unwrap();
        for _ in 0..4 {
            let held = held.clone();
            judges.judge(move || {
                std::thread::sleep(std::time::Duration::from_millis(50));
                drop(held);
            });
        }
        drop(judges);
        assert_eq!(Arc::strong_count(&held), 1, "a store could be opened again now");
    }
}
