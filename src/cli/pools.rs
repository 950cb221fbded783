//! How many pools of memory the C library keeps for the engine.
use super::{CliError, CliResult};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Read by the C library before anything of ours runs (mallopt(3)).
const POOLS: &str = "MALLOC_ARENA_MAX";

/// Begins this program anew in its own place (same process, same arguments) with one pool for each core, unless somebody has said
/// how many.
///
/// Left alone the C library makes eight for each core. The engine's buffers are written by whichever thread commits, come from that
/// thread's pool and leave a hole of their size there: every pool grows to the largest of them and the hub with it
/// (measured: 148 to 198 MiB in six minutes, 148 to 163 with one pool a core). The hub's own allocations are not from there.
///
/// Nothing is open yet and no other thread runs: nothing can be lost.
///
/// # Errors
/// The program could not begin anew. It cannot go on either: trying has given SIGPIPE back its deadly meaning (std's `exec` does).
pub(super) fn bound() -> CliResult {
    if !cfg!(target_env = "gnu") || std::env::var_os(POOLS).is_some() {
        return Ok(());
    }
    let (Ok(program), Ok(cores)) = (std::env::current_exe(), std::thread::available_parallelism()) else {
        return Ok(());
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let why = Command::new(program).arg0(name).args(arguments).env(POOLS, cores.to_string()).exec();
    Err(CliError(format!(
        "cannot begin anew with one pool of memory a core: {why}. Set {POOLS} to the number of cores and start again \
         (不能按每核一个内存池重新启动，请设置 {POOLS} 为核数后再启动)"
    )))
}
