//! What the disk beneath a folder takes to make a small write durable: below this no recorded answer can come back.
use super::super::CliResult;
use clap::Args;
use hdrhistogram::Histogram;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `wuku bench disk`.
#[derive(Args, Debug)]
pub(super) struct DiskArgs {
    /// A folder on the disk to measure; a file is made there and removed (目录)
    #[arg(long)]
    folder: PathBuf,
    /// How many writes (次数)
    #[arg(long, default_value_t = 500)]
    writes: u32,
    /// Bytes of each: about what a batch of one answer comes to (字节)
    #[arg(long, default_value_t = 4_096)]
    bytes: usize,
    /// Print the figures as one JSON line (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// Appends and syncs, again and again.
///
/// # Errors
/// What the system says.
pub(super) fn run(args: &DiskArgs) -> CliResult {
    let path = args.folder.join(format!("wuku-bench-disk-{}", std::process::id()));
    let measured = measure(args, &path);
    let removed = std::fs::remove_file(&path);
    let took = measured?;
    removed?;
    let of = |q: f64| took.value_at_quantile(q);
    if args.json {
        println!(
            "{}",
            serde_json::json!({ "fsync_p50_us": of(0.5), "fsync_p99_us": of(0.99), "fsync_max_us": took.max() })
        );
    } else {
        println!("fdatasync of {} bytes: p50 {} µs, p99 {} µs, max {} µs", args.bytes, of(0.5), of(0.99), took.max());
    }
    Ok(())
}

fn measure(args: &DiskArgs, path: &PathBuf) -> CliResult<Histogram<u64>> {
    let mut took = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let bytes = vec![0x5a; args.bytes];
    for _ in 0..args.writes {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(took)
}
