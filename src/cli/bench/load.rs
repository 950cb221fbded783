//! Load on a running server: closed loop (the next call goes out when one comes back) or open loop (calls go out on time, whatever
//! comes back).
//!
//! In the open loop latency counts from the moment a call was *meant* to go out, so a server that stalls cannot hide it by making the
//! generator wait. A call for which no connection has room is missed, not sent late.
use super::super::{CliError, CliResult};
use super::link::{Head, Link, Reply, Target};
use super::process::{Used, used};
use super::rpc::Rpc;
use crate::demo::random::Random;
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long calls under way may take once the time is over.
const GRACE: Duration = Duration::from_secs(5);
/// The runtime's timers are good to a millisecond: what is left of a wait is slept by a thread, to within this …
const TIMER: Duration = Duration::from_millis(2);
/// … and the rest is spun. Spinning longer would take a core from the hub where both share the machine.
const SPIN: Duration = Duration::from_micros(100);
/// The gRPC status of a server that has no room now.
const UNAVAILABLE: u8 = 14;
/// A call that is made once comes back to a busy server at most so often.
const COMES_BACK_MAX: u32 = 1_000;
/// Calls sent in a row before others get a turn.
const BURST: u64 = 16;

/// A call made ahead.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Which rpc.
    pub(super) rpc: Rpc,
    /// Its message with its head.
    pub(super) framed: Bytes,
    /// Questions in it.
    pub(super) items: u32,
}

/// A system with its questions.
pub(super) struct Caller {
    /// Where and as whom.
    pub(super) target: Target,
    /// Asked in this order, and from the beginning again where time is left.
    pub(super) calls: Vec<Call>,
    /// Its part of the connections.
    pub(super) weight: u32,
}

/// When the next call goes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// When one came back, so many under way on each connection.
    Closed(usize),
    /// So many a second.
    Open(f64),
}

/// When it is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// After so long, the first part not measured.
    After { warm_up: Duration, measured: Duration },
    /// When every call was made once.
    Once,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Connections in all; each caller has at least one.
    pub(super) connections: usize,
    /// When the next call goes out.
    pub(super) pace: Pace,
    /// When it is over.
    pub(super) end: End,
    /// How many replies to keep, spread over the whole time.
    pub(super) samples: usize,
    /// The server's process, where it is on this machine.
    pub(super) server: Option<u32>,
}

/// A reply that was kept.
pub(super) struct Sample {
    pub(super) rpc: Rpc,
    pub(super) asked: Bytes,
    pub(super) reply: Bytes,
}

/// What came out.
pub(super) struct Outcome {
    /// How long was measured.
    pub(super) measured: Duration,
    /// Latencies of answered calls, microseconds.
    pub(super) latency_us: Histogram<u64>,
    /// How late calls went out (open loop), microseconds.
    pub(super) late_us: Histogram<u64>,
    /// Calls that were to be sent (open loop); else those sent.
    pub(super) offered: u64,
    /// Calls sent.
    pub(super) sent: u64,
    /// Calls for which there was no room.
    pub(super) missed: u64,
    /// Calls answered, by gRPC status.
    pub(super) by_code: BTreeMap<u8, u64>,
    /// Calls that ended without an answer.
    pub(super) lost: u64,
    /// The first of them, in words.
    pub(super) first_loss: Option<String>,
    /// Questions answered.
    pub(super) items: u64,
    /// Message bytes of all calls counted, out and back.
    pub(super) bytes: (u64, u64),
    /// Connections opened again.
    pub(super) reopened: usize,
    /// Calls made again when a busy server said so, where each is made once.
    pub(super) came_back: u64,
    /// Connections in all.
    pub(super) connections: usize,
    /// Kept replies.
    pub(super) samples: Vec<Sample>,
    /// What the server used meanwhile: CPU, and memory at the end.
    pub(super) server: Option<Used>,
    /// CPU time of this generator.
    pub(super) client_cpu: Duration,
}

/// The answer, or the recorded refusal: both are what the hub is for.
pub(super) fn is_answer(code: u8) -> bool {
    matches!(code, 0 | 7)
}

/// Puts the load on.
///
/// # Errors
/// A connection that cannot be opened at all, or nothing to ask.
pub(super) async fn run(callers: Vec<Caller>, plan: Plan) -> CliResult<Outcome> {
    let lines = open(&callers, plan.connections).await?;
    let connections = lines.len();
    let calls: usize = callers.iter().map(|caller| caller.calls.len()).sum();
    if callers.iter().any(|caller| caller.calls.is_empty()) {
        return Err(CliError("there is nothing to ask: no questions were made".into()));
    }
    let start = Instant::now();
    let (begin, end, length) = match plan.end {
        End::After { warm_up, measured } => (start + warm_up, Some(start + warm_up + measured), measured),
        End::Once => (start, None, Duration::from_secs(30)),
    };
    let cursors = callers.iter().map(|_| AtomicUsize::new(0)).collect();
    let whole = end.map_or(length, |end| end.saturating_duration_since(start));
    let step = whole.checked_div(u32::try_from(plan.samples.max(1)).unwrap_or(u32::MAX)).unwrap_or_default();
    let load = Arc::new(Load {
        order: order(&callers),
        turn: AtomicUsize::new(0),
        callers,
        lines,
        cursors,
        begin,
        end,
        most_samples: plan.samples,
        step,
        under_way: AtomicU64::new(0),
        came_back: AtomicU64::new(0),
        tally: Mutex::new(Tally::new(start)?),
    });
    let before = tokio::spawn(async move {
        tokio::time::sleep_until(begin.into()).await;
        (plan.server.and_then(used), used(std::process::id()))
    });
    let generator = match plan.pace {
        Pace::Closed(in_flight) => tokio::spawn(closed(load.clone(), in_flight)),
        Pace::Open(per_s) => tokio::spawn(open_loop(load.clone(), per_s, calls)),
    };
    if let Some(end) = end {
        tokio::time::sleep_until(end.into()).await;
    } else {
        generator.await?;
    }
    let after = (plan.server.and_then(used), used(std::process::id()));
    let measured = load.tally().last.saturating_duration_since(begin);
    settle(&load).await;
    let before = before.await?;
    let server = before.0.zip(after.0).map(|(b, a)| Used { cpu: a.cpu.saturating_sub(b.cpu), ..a });
    let client_cpu = before.1.zip(after.1).map_or(Duration::ZERO, |(b, a)| a.cpu.saturating_sub(b.cpu));
    // Open loop: who has not answered by now never does, and is lost, not forgotten.
    let open = matches!(plan.pace, Pace::Open(_));
    let silent = if open { load.under_way.load(Ordering::Relaxed) } else { 0 };
    let reopened = load.lines.iter().map(|line| line.link.reopened()).sum();
    let tally = std::mem::replace(&mut *load.tally(), Tally::new(begin)?);
    Ok(Outcome {
        measured: if end.is_some() { length } else { measured },
        latency_us: tally.latency_us,
        late_us: tally.late_us,
        offered: tally.sent.saturating_add(tally.missed).saturating_add(silent),
        sent: tally.sent.saturating_add(silent),
        missed: tally.missed,
        by_code: tally.by_code,
        lost: tally.lost.saturating_add(silent),
        first_loss: tally.first_loss,
        items: tally.items,
        bytes: tally.bytes,
        reopened,
        came_back: load.came_back.load(Ordering::Relaxed),
        connections,
        samples: tally.samples,
        server,
        client_cpu,
    })
}

/// Each caller's connections: one at least, the rest by weight.
async fn open(callers: &[Caller], connections: usize) -> CliResult<Vec<Line>> {
    let all: u32 = callers.iter().map(|caller| caller.weight).sum();
    let mut lines = Vec::new();
    for (at, caller) in callers.iter().enumerate() {
        let share = f64::from(caller.weight) / f64::from(all.max(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
        let count = ((share * connections as f64).round() as usize).max(1);
        for _ in 0..count {
            let link = Link::open(&caller.target).await?;
            let heads = Rpc::ALL.iter().map(|rpc| link.head(rpc.path())).collect::<CliResult<_>>()?;
            lines.push(Line { link, heads, caller: at });
        }
    }
    Ok(lines)
}

/// Each caller's number as often as it has calls, shuffled, always in the same way.
fn order(callers: &[Caller]) -> Vec<u16> {
    let numbers = (0_u16..).zip(callers);
    let mut order: Vec<u16> = numbers.flat_map(|(at, caller)| std::iter::repeat_n(at, caller.calls.len())).collect();
    let mut random = Random::of(1, "order", callers.len() as u64);
    for left in (2..=order.len()).rev() {
        order.swap(left - 1, usize::try_from(random.below(left as u64)).unwrap_or_default());
    }
    order
}

/// Waits until all calls have come back, but not for ever.
async fn settle(load: &Load) {
    let until = Instant::now() + GRACE;
    while load.under_way.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A connection with everything that is made once for it.
struct Line {
    link: Link,
    heads: Vec<Head>,
    caller: usize,
}

struct Load {
    callers: Vec<Caller>,
    lines: Vec<Line>,
    /// Whose turn it is: each caller as often as it has calls, well mixed, so that the proportions hold at every moment.
    order: Vec<u16>,
    turn: AtomicUsize,
    /// The next call of each caller.
    cursors: Vec<AtomicUsize>,
    begin: Instant,
    end: Option<Instant>,
    most_samples: usize,
    step: Duration,
    under_way: AtomicU64,
    /// How often a call was made again because the server was busy.
    came_back: AtomicU64,
    tally: Mutex<Tally>,
}

struct Tally {
    latency_us: Histogram<u64>,
    late_us: Histogram<u64>,
    sent: u64,
    missed: u64,
    by_code: BTreeMap<u8, u64>,
    lost: u64,
    first_loss: Option<String>,
    items: u64,
    bytes: (u64, u64),
    samples: Vec<Sample>,
    next_sample: Instant,
    last: Instant,
}

impl Tally {
    fn new(start: Instant) -> CliResult<Self> {
        let histogram = || Histogram::new_with_bounds(1, 120_000_000, 3);
        Ok(Self {
            latency_us: histogram()?,
            late_us: histogram()?,
            sent: 0,
            missed: 0,
            by_code: BTreeMap::new(),
            lost: 0,
            first_loss: None,
            items: 0,
            bytes: (0, 0),
            samples: Vec::new(),
            next_sample: start,
            last: start,
        })
    }
}

impl Load {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// The next call, and the connections it may go out on; none where each is made once and all are.
    fn next_of_all(&self) -> Option<(impl Iterator<Item = &Line>, &Call)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let caller = match self.end {
            None => self.order.get(turn),
            Some(_) => self.order.get(turn.checked_rem(self.order.len())?),
        };
        let caller = usize::from(*caller?);
        let count = self.lines.iter().filter(|line| line.caller == caller).count();
        let lines = self.lines.iter().filter(move |line| line.caller == caller);
        Some((lines.clone().chain(lines).skip(turn % count.max(1)).take(count), self.next(caller)?))
    }

    /// The caller's next call; none where each is made once and all are.
    fn next(&self, caller: usize) -> Option<&Call> {
        let (calls, cursor) = (&self.callers.get(caller)?.calls, self.cursors.get(caller)?);
        let at = cursor.fetch_add(1, Ordering::Relaxed);
        match self.end {
            None => calls.get(at),
            Some(_) => calls.get(at.checked_rem(calls.len())?),
        }
    }

    /// Makes a call and counts it: by when it was meant to go out where that is known, else by when it came back.
    async fn make(&self, line: &Line, call: &Call, due: Option<Instant>) {
        let Some(head) = line.heads.get(call.rpc as usize) else { return };
        let sent = Instant::now();
        let keep = self.keeps(sent);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let replied = self.ask(line, head, call, keep).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.count(call, replied, due, sent);
    }

    /// Asks; and where each call is made once, asks again when a busy server wants it to: such a call is to be answered, not counted as
    /// refused. Its latency then holds the waiting. A quota or throttle names a time too, but that is not for want of room.
    async fn ask(&self, line: &Line, head: &Head, call: &Call, keep: bool) -> CliResult<Reply> {
        for _ in 0..COMES_BACK_MAX {
            let replied = line.link.call(head, call.framed.clone(), keep).await?;
            let busy = self.end.is_none() && replied.code == UNAVAILABLE;
            let Some(delay) = replied.come_back_after.filter(|_| busy) else { return Ok(replied) };
            self.came_back.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(delay).await;
        }
        line.link.call(head, call.framed.clone(), keep).await
    }

    /// Is this one of the replies to keep?
    fn keeps(&self, now: Instant) -> bool {
        let mut tally = self.tally();
        let keep = now >= tally.next_sample && tally.samples.len() < self.most_samples;
        if keep {
            tally.next_sample = now + self.step;
        }
        keep
    }

    fn count(&self, call: &Call, replied: CliResult<Reply>, due: Option<Instant>, sent: Instant) {
        let now = Instant::now();
        let (at, since) = (due.unwrap_or(now), due.unwrap_or(sent));
        let measured = at >= self.begin && self.end.is_none_or(|end| at <= end);
        let mut tally = self.tally();
        // A reply is looked at whether it is measured or not.
        if let Ok(Reply { code: 0, message: Some(reply), .. }) = &replied {
            tally.samples.push(Sample { rpc: call.rpc, asked: call.framed.clone(), reply: reply.clone() });
        }
        if !measured {
            return;
        }
        tally.last = now;
        tally.sent = tally.sent.saturating_add(1);
        tally.late_us.saturating_record(micros(sent.saturating_duration_since(since)));
        match replied {
            Err(CliError(why)) => {
                tally.lost = tally.lost.saturating_add(1);
                tally.first_loss.get_or_insert(why);
            }
            Ok(reply) => {
                let count = tally.by_code.entry(reply.code).or_default();
                *count = count.saturating_add(1);
                if is_answer(reply.code) {
                    tally.latency_us.saturating_record(micros(now.saturating_duration_since(since)));
                    tally.items = tally.items.saturating_add(call.items.into());
                    tally.bytes.0 = tally.bytes.0.saturating_add(call.framed.len() as u64);
                    tally.bytes.1 = tally.bytes.1.saturating_add(reply.bytes as u64);
                }
            }
        }
    }
}

/// Always so many calls under way: on each connection where there is one caller, else over all together.
async fn closed(load: Arc<Load>, in_flight: usize) {
    let mut workers = tokio::task::JoinSet::new();
    for at in 0..load.lines.len() {
        for _ in 0..in_flight {
            let load = load.clone();
            workers.spawn(async move {
                let mine = load.lines.get(at).filter(|_| load.callers.len() == 1);
                while !load.is_over() {
                    let next = match mine {
                        Some(line) => load.next(line.caller).map(|call| (line, call)),
                        None => load.next_of_all().and_then(|(mut lines, call)| Some((lines.next()?, call))),
                    };
                    let Some((line, call)) = next else { return };
                    load.make(line, call, None).await;
                }
            });
        }
    }
    while workers.join_next().await.is_some() {}
}

/// Calls go out at a fixed rate, each on the next connection that has room.
async fn open_loop(load: Arc<Load>, per_s: f64, calls: usize) {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0_u64.. {
        let due = start + Duration::from_secs_f64(n as f64 / per_s.max(0.001));
        let over = load.end.map_or(n >= calls as u64, |end| due >= end);
        if over {
            break;
        }
        wait_until(due).await;
        if n.is_multiple_of(BURST) {
            tokio::task::yield_now().await;
            while tasks.try_join_next().is_some() {}
        }
        let Some((mut lines, call)) = load.next_of_all() else { break };
        let free = lines.find(|line| line.link.has_room());
        let Some(free) = free.and_then(|free| load.lines.iter().position(|line| std::ptr::eq(line, free))) else {
            if due >= load.begin {
                let mut tally = load.tally();
                tally.missed = tally.missed.saturating_add(1);
            }
            continue;
        };
        let call = call.clone();
        let load = load.clone();
        tasks.spawn(async move {
            if let Some(line) = load.lines.get(free) {
                load.make(line, &call, Some(due)).await;
            }
        });
    }
    let _all_or_grace = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
}

async fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if left > TIMER {
            tokio::time::sleep(left - TIMER).await;
        } else if left > SPIN * 2 {
            let asleep = tokio::task::spawn_blocking(move || std::thread::sleep(left - SPIN));
            let _ended = asleep.await; // what is left is seen anew, however it ended
        } else {
            tokio::task::yield_now().await;
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
