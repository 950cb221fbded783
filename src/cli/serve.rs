//! `wuku serve`: check the configuration, open the hub, listen, answer, drain.
use super::operator::{self, Running, adopt_trust};
use super::{CliError, CliResult, block_on, hub, pools};
use crate::clock::Clock;
use crate::config::{Config, Stage};
use crate::edge;
use crate::edge::admin::{self, Condition};
use crate::edge::catalogue_service::CatalogueRpc;
use crate::edge::document_service::{Bench, DocumentRpc};
use crate::edge::exchange_service::ExchangeRpc;
use crate::edge::intake_service::IntakeRpc;
use crate::edge::licence_service::LicenceRpc;
use crate::edge::listener::Listener;
use crate::edge::receipt_service::{Papers, ReceiptRpc, TrustNote};
use crate::edge::seal_service::SealRpc;
use crate::edge::trust::TrustStore;
use crate::exchange::Exchange;
use crate::intake::Intake;
use crate::log::in_suite;
use crate::receipt::publisher::Publisher;
use crate::store::space::Level;
use crate::telemetry::{self, Metrics};
use crate::wire::DESCRIPTORS;
use crate::wire::proto::catalogue::v1::catalogue_service_server::CatalogueServiceServer;
use crate::wire::proto::document::v1::document_service_server::DocumentServiceServer;
use crate::wire::proto::exchange::v1::exchange_service_server::ExchangeServiceServer;
use crate::wire::proto::intake::v1::intake_service_server::IntakeServiceServer;
use crate::wire::proto::licence::v1::licence_service_server::LicenceServiceServer;
use crate::wire::proto::receipt::v1::receipt_service_server::ReceiptServiceServer;
use crate::wire::proto::seal::v1::seal_service_server::SealServiceServer;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::service::Routes;

/// Arguments of `wuku serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// Print the addresses as one JSON line on standard output once it answers
    #[arg(long)]
    json: bool,
}

/// Runs `wuku serve`.
///
/// # Errors
/// Anything wrong before it answers; recording that stopped for good while it did.
pub fn run(args: &ServeArgs, clock: &Clock) -> CliResult {
    pools::bound()?;
    let config = Config::load(&args.config)?;
    let log_lines = telemetry::start(&config.logging).map_err(CliError)?;
    if let Err(faults) = config.check(clock, Stage::Serve) {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(CliError(format!("the configuration is not whole:\n{}", all.join("\n"))));
    }
    let served = block_on(serve(config, clock.clone(), args.json));
    log_lines.flush();
    served
}

async fn serve(config: Config, clock: Clock, json: bool) -> CliResult {
    let metrics = Metrics::new();
    let rocks = hub::open_rocks(&config, &clock)?;
    let exchange = hub::open(&config, rocks.clone(), &clock, &metrics).await?;
    let trust_note = TrustNote::default();
    if let Err(CliError(why)) = adopt_trust(&config, &exchange, &trust_note) {
        tracing::warn!(why, "no trust file can be shown to callers");
    }
    let trust = TrustStore::open((&config.listen).into(), clock.clone())?;
    let address = config.address().ok_or_else(|| CliError("listen.address".into()))?;
    let listener =
        Listener::bind(address, &config.hub.name, trust.clone(), (&config.listen).into(), metrics.clone()).await?;
    let admin_address = config.admin_address().ok_or_else(|| CliError("listen.admin_address".into()))?;
    let admin_listener = tokio::net::TcpListener::bind(admin_address).await?;
    let (grpc, http) = (listener.local_address()?, admin_listener.local_addr()?);
    let stopping = Arc::new(tokio::sync::watch::channel(false).0);
    let fresh = Duration::from_millis(config.listen.reload_check_ms);
    tokio::spawn(trust.keep_fresh(fresh, metrics.clone()));
    tokio::spawn(keep_issuers_fresh(config.clone(), exchange.clone(), fresh));
    tokio::spawn(keep_trust_file_fresh(config.clone(), exchange.clone(), trust_note.clone(), fresh));
    tokio::spawn(admin::serve(admin_listener, metrics.clone(), health(&exchange), asked_to_stop(stopping.clone())));
    let look = Duration::from_millis(config.store.space_check_ms);
    tokio::spawn(exchange.recorder.ledger().space().clone().keep_looking(look, metrics.clone()));
    match edge::operator::bind(&config.data.path) {
        Ok(door) => {
            let running =
                Running { config: config.clone(), exchange: exchange.clone(), rocks, trust_note: trust_note.clone() };
            tokio::spawn(edge::operator::serve(door, operator::door(running), asked_to_stop(stopping.clone())));
        }
        Err(error) => {
            tracing::error!(%error, "the operator's door stays shut: no backup or rotation while the hub runs")
        }
    }
    tokio::spawn(sum_up(exchange.clone(), metrics.clone()));
    // Before anybody is told that it answers: a signal that comes at once must find its handler.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(stop_on_signal(exchange.clone(), stopping.clone(), signals));
    if json {
        println!("{}", serde_json::json!({ "address": grpc.to_string(), "adminAddress": http.to_string() }));
    }
    tracing::info!(%grpc, admin = %http, hub = config.hub.name, "answering");
    let routes = routes(&config, &exchange, trust_note, stopping.subscribe()).await?;
    let parts = (&config.listen, &config.limits, &metrics);
    edge::serve(listener, routes, parts, asked_to_stop(stopping.clone())).await?;
    match exchange.recorder.ledger().stopped().borrow().as_ref() {
        Some(why) => Err(CliError(format!("recording has stopped: {why}"))),
        None => Ok(()),
    }
}

/// Every service, with its message sizes bounded both ways.
async fn routes(
    config: &Config,
    exchange: &Arc<Exchange>,
    trust_note: TrustNote,
    stopping: tokio::sync::watch::Receiver<bool>,
) -> CliResult<Routes> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ExchangeServiceServer<ExchangeRpc>>().await;
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let (take, give) = (config.limits.message_bytes_max, config.limits.reply_bytes_max);
    let mut routes = Routes::builder();
    routes.add_service(health_service);
    routes.add_service(reflection().build_v1()?);
    routes.add_service(reflection().build_v1alpha()?);
    let service = ExchangeServiceServer::new(ExchangeRpc::new(exchange.clone()));
    routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    let service = LicenceServiceServer::new(LicenceRpc::new(exchange.clone()));
    routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    let service = CatalogueServiceServer::new(CatalogueRpc::new(exchange.clone()));
    routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    let service = SealServiceServer::new(SealRpc::new(exchange.clone(), stopping));
    routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    let profile = config.papers.usual_profile().map_err(CliError)?;
    let bench = Bench::new(config.papers.anchors().map_err(CliError)?, profile, exchange.clock.clone());
    tokio::spawn(keep_anchors_fresh(config.clone(), bench.clone()));
    let service = DocumentServiceServer::new(DocumentRpc::new(exchange.clone(), bench));
    routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    let intake = Intake::new(exchange.clone());
    let resumed = intake.resume_all().await?;
    if resumed > 0 {
        tracing::info!(resumed, "imports that a stop interrupted go on");
    }
    tokio::spawn(resume_when_there_is_room(exchange.clone(), intake.clone()));
    let service = IntakeServiceServer::new(IntakeRpc::new(intake));
    routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    let ledger = exchange.recorder.ledger().clone();
    in_suite!(ledger.suite(), S => {
        let publisher = Arc::new(Publisher::start::<S>(exchange.store.clone(), ledger).await?);
        let service = ReceiptServiceServer::new(ReceiptRpc::<S>::new(exchange.clone(), Papers { publisher, trust_note }));
        routes.add_service(service.max_decoding_message_size(take).max_encoding_message_size(give));
    });
    Ok(routes.routes())
}

/// How the hub is: asked anew each time, so that nothing stale keeps it out of service.
fn health(exchange: &Arc<Exchange>) -> admin::Health {
    let ledger = exchange.recorder.ledger().clone();
    Arc::new(move || {
        let mut condition = Condition::default();
        condition.not_ready.extend(ledger.stopped().borrow().iter().map(|why| format!("recording has stopped: {why}")));
        condition.not_ready.extend(ledger.paused().map(|why| format!("recording is paused: {why}")));
        let short = ledger.space().short();
        match ledger.space().room().level {
            Level::Out => condition.not_ready.extend(short),
            Level::Plenty | Level::Low => condition.warnings.extend(short),
        }
        condition
    })
}

/// When there is room on the disk again, imports that were refused for want of it go on.
async fn resume_when_there_is_room(exchange: Arc<Exchange>, intake: Arc<Intake>) {
    let mut room = exchange.recorder.ledger().space().follow();
    loop {
        let short = room.wait_for(|room| room.level != Level::Plenty).await.is_ok();
        if !short || room.wait_for(|room| room.level == Level::Plenty).await.is_err() {
            return;
        }
        match intake.resume_all().await {
            Ok(resumed) => tracing::info!(resumed, "imports that a full disk interrupted go on"),
            Err(failure) => tracing::error!(%failure, "imports that a full disk interrupted wait for their senders"),
        }
    }
}

async fn asked_to_stop(stopping: Arc<tokio::sync::watch::Sender<bool>>) {
    let mut asked = stopping.subscribe();
    // The sender lives as long as this future.
    let _ = asked.wait_for(|stop| *stop).await;
}

/// Once a minute: what stopped each caller, and all strangers together, as one statement each.
async fn sum_up(exchange: Arc<Exchange>, metrics: Metrics) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tick.tick().await;
        if let Err(failure) = exchange.sum_up(&metrics.failed_handshakes()).await {
            tracing::warn!(%failure, "the minute's summary was not recorded; it goes into the next");
        }
    }
}

/// SIGTERM, SIGINT, or recording that stopped for good.
async fn stop_on_signal(
    exchange: Arc<Exchange>,
    stopping: Arc<tokio::sync::watch::Sender<bool>>,
    (mut terminate, mut interrupt): (Signal, Signal),
) {
    let mut stopped = exchange.recorder.ledger().stopped();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = stopped.wait_for(Option::is_some) => {}
    }
    stopping.send_replace(true);
}

/// Issuer CAs, anchors for seals and revocation lists are taken over while the hub runs; unreadable ones leave the old in force.
async fn keep_issuers_fresh(config: Config, exchange: Arc<Exchange>, every: Duration) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        match hub::issuer_trust(&config, &exchange.log_keys.load()) {
            Ok(trust) => exchange.issuers.store(Arc::new(trust)),
            Err(CliError(why)) => {
                tracing::error!(why, "issuer certificates cannot be read; the old ones stay in force")
            }
        }
        if let (Some(seals), Some(office)) = (&config.seals, &exchange.seals) {
            match edge::seal_system::anchors(seals) {
                Ok(anchors) => office.believe(anchors),
                Err(why) => tracing::error!(why, "anchors for seals cannot be read; the old ones stay in force"),
            }
        }
    }
}

/// Anchors for papers and their revocation lists are taken over while the hub runs; unreadable ones leave the old in force.
async fn keep_anchors_fresh(config: Config, bench: Arc<Bench>) {
    let mut tick = tokio::time::interval(Duration::from_millis(config.listen.reload_check_ms));
    tick.tick().await;
    loop {
        tick.tick().await;
        match config.papers.anchors() {
            Ok(anchors) => bench.anchors.store(Arc::new(anchors)),
            Err(why) => tracing::error!(why, "anchors for papers cannot be read; the old ones stay in force"),
        }
    }
}

/// A later issue of the trust file is shown to callers and believed by the hub while it runs.
async fn keep_trust_file_fresh(config: Config, exchange: Arc<Exchange>, note: TrustNote, every: Duration) {
    let mut tick = tokio::time::interval(every);
    let mut said = String::new();
    loop {
        tick.tick().await;
        match adopt_trust(&config, &exchange, &note) {
            Ok(true) => tracing::info!("a later trust file is in force"),
            Ok(false) => said.clear(),
            Err(CliError(why)) if why != said => {
                tracing::error!(why, "the trust file cannot be taken over; the one before stays in force");
                said = why;
            }
            Err(_) => {}
        }
    }
}
