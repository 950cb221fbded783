//! What the demo's departments do with the hub: each system with its own certificate, each department with its own key.
use super::super::client::Client;
use super::super::sign::DepartmentKey;
use super::super::{CliError, CliResult};
use super::HUB;
use crate::cli::dev_certs::DevCerts;
use crate::clock::Clock;
use crate::demo::organisation::{DemoSystem, department_of, system_of};
use crate::receipt::evidence;
use crate::wire::proto::catalogue::v1::catalogue_service_client::CatalogueServiceClient;
use crate::wire::proto::document::v1::document_service_client::DocumentServiceClient;
use crate::wire::proto::exchange::v1::exchange_service_client::ExchangeServiceClient;
use crate::wire::proto::exchange::v1::{Context, Payload, RecordedItem};
use crate::wire::proto::intake::v1::intake_service_client::IntakeServiceClient;
use crate::wire::proto::licence::v1::licence_service_client::LicenceServiceClient;
use crate::wire::proto::receipt::v1::{Evidence, Operator, Purpose, PurposeKind, Receipt};
use crate::wire::proto::seal::v1::seal_service_client::SealServiceClient;
use bytes::Bytes;
use prost::Message;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tonic::transport::Channel;

/// Every system's connection, opened when first used.
pub(super) struct Desk {
    folder: PathBuf,
    certs: DevCerts,
    endpoint: String,
    channels: Mutex<HashMap<&'static str, Channel>>,
}

/// A system at its place.
pub(super) struct At {
    pub(super) system: &'static DemoSystem,
    channel: Channel,
}

impl Desk {
    pub(super) fn open(folder: &Path, address: &str) -> CliResult<Self> {
        let port = address.rsplit(':').next().ok_or_else(|| CliError(format!("no port in {address}")))?;
        Ok(Self {
            folder: folder.to_owned(),
            certs: DevCerts::open(&folder.join("certs"), &Clock::system()),
            endpoint: format!("https://localhost:{port}"),
            channels: Mutex::default(),
        })
    }

    /// The system of this code.
    pub(super) fn at(&self, code: &str) -> CliResult<At> {
        let system = system_of(code).ok_or_else(|| CliError(format!("the demo has no system {code}")))?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(system.code) {
            return Ok(At { system, channel: channel.clone() });
        }
        let pair = self.certs.system(system.department, system.code);
        let client = Client {
            endpoint: self.endpoint.clone(),
            ca: self.folder.join("certs/client-ca.pem"),
            certificate: pair.certificate,
            key: pair.key,
        };
        let channel = client.endpoint()?.connect_lazy();
        channels.insert(system.code, channel.clone());
        Ok(At { system, channel })
    }

    /// The signing key of a department.
    pub(super) fn key_of(&self, department: &str) -> CliResult<DepartmentKey> {
        let department = department_of(department).ok_or_else(|| CliError(format!("no department {department}")))?;
        let pair = self.certs.issuer(department.uscc()?.as_str());
        Ok(DepartmentKey::load(&pair.key, &pair.certificate)?)
    }
}

impl At {
    pub(super) fn uri(&self) -> String {
        self.system.uri(HUB)
    }

    pub(super) fn exchange(&self) -> ExchangeServiceClient<Channel> {
        ExchangeServiceClient::new(self.channel.clone())
    }

    pub(super) fn documents(&self) -> DocumentServiceClient<Channel> {
        DocumentServiceClient::new(self.channel.clone())
    }

    pub(super) fn licences(&self) -> LicenceServiceClient<Channel> {
        LicenceServiceClient::new(self.channel.clone())
    }

    pub(super) fn catalogue(&self) -> CatalogueServiceClient<Channel> {
        CatalogueServiceClient::new(self.channel.clone())
    }

    pub(super) fn seals(&self) -> SealServiceClient<Channel> {
        SealServiceClient::new(self.channel.clone())
    }

    pub(super) fn intake(&self) -> IntakeServiceClient<Channel> {
        IntakeServiceClient::new(self.channel.clone())
    }
}

/// 16 random bytes in hexadecimal: a request id.
pub(super) fn request_id() -> CliResult<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// What a question carries: a fresh nonce, the purpose, the operator.
pub(super) fn context(item: &str) -> CliResult<Context> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    let purpose = Purpose {
        kind: PurposeKind::Handling as i32,
        item: item.to_owned(),
        reference: "TT-2026-000001".to_owned(),
        use_cause: "演示 demo".to_owned(),
    };
    let operator = Operator { id: "clerk-07".to_owned(), window: "A12".to_owned() };
    let nonce = Bytes::copy_from_slice(&nonce);
    Ok(Context { nonce, purpose: Some(purpose), operator: Some(operator), ..Context::default() })
}

/// Why a change is made.
pub(super) fn administration(cause: &str) -> Purpose {
    Purpose { kind: PurposeKind::Administration as i32, use_cause: cause.to_owned(), ..Purpose::default() }
}

/// One recorded answer, read.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    pub(super) payload: Payload,
    pub(super) receipt: Receipt,
}

impl Answer {
    pub(super) fn read(payload: Bytes, receipt: Option<Receipt>) -> CliResult<Self> {
        let receipt = receipt.ok_or_else(|| CliError("an answer without a receipt".into()))?;
        Ok(Self { payload: Payload::decode(payload.clone())?, bytes: payload, receipt })
    }

    /// One of several: the checkpoint they share is put back into its receipt.
    pub(super) fn of_item(item: RecordedItem, checkpoint: &Bytes) -> CliResult<Self> {
        let receipt = item.receipt.map(|receipt| Receipt { checkpoint: checkpoint.clone(), ..receipt });
        Self::read(item.payload, receipt)
    }

    /// The evidence file of this answer.
    pub(super) fn evidence(&self) -> Vec<u8> {
        evidence::to_json(&Evidence {
            payload_name: crate::receipt::statement::PAYLOAD_NAME.to_owned(),
            payload: self.bytes.clone(),
            receipt: Some(self.receipt.clone()),
        })
    }
}
