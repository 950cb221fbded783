//! Licences are signed by their authority: prepared, signed, issued, changed by order. Each wrong way has a reason of its own.
use crate::client::{blamed, date, failed, licence, reason, request_id};
use crate::harness::{HUB, Hub};
use crate::world::{CLINICS, HEALTH, HOLDER, MARKET, REGISTRY, WINDOW, draft, field, order, signature};
use prost::Message;
use prost::bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use wuku::cli::dev_certs::{Authority, DevCerts, Pair, Validity};
use wuku::clock::Clock;
use wuku::failure::Reason;
use wuku::log::SuiteName;
use wuku::receipt::Outcome;
use wuku::wire::proto::library::v1::LicenceState;
use wuku::wire::proto::licence::v1::{IssueLicenceRequest, LicenceContent, OrderAction};

#[tokio::test]
async fn a_licence_is_found_as_its_authority_signed_it() {
    for suite in SuiteName::ALL {
        found_as_signed(Hub::of(suite).await).await;
    }
}

async fn found_as_signed(hub: Hub) {
    hub.grant_food().await;
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let request = hub.issuing(&prepared);
    let issued = registry.issue(request.clone()).await.unwrap();
    assert_eq!(issued.change().records[0].name, prepared.licence_id);

    let mut question = licence(&prepared.licence_id, &["number", "holder_name", "type_name", "premises", "licence_id"]);
    question.complete_licence = true;
    let answer = hub.caller(WINDOW).look_up(&question).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::Found);
    assert_eq!(answer.payload.question, question.encode_to_vec(), "the question comes back as it was sent");
    assert_eq!(answer.field("holder_name"), Some(HOLDER.0));
    assert_eq!(answer.field("number"), Some("JY13310990000017"));
    assert_eq!(answer.field("type_name"), Some("食品经营许可证"));
    assert_eq!(answer.field("premises"), Some("浙江省台州市天台县演示样本路88号"));
    assert_eq!(answer.field("phone"), None, "not granted, not asked");
    let whole = answer.record().complete_licence.clone().unwrap();
    assert_eq!((whole.content, whole.signature), (request.content, request.signature));
    let standing = answer.record().licence.clone().unwrap();
    assert_eq!(standing.state(), LicenceState::Valid);
    let provenance = answer.record().provenance.clone().unwrap();
    assert_eq!(provenance.recorded_index, issued.receipt().leaf_index);
    assert_eq!(provenance.department, MARKET.code);
    hub.end().await;
}

#[tokio::test]
async fn five_wrong_ways_have_five_reasons() {
    let hub = Hub::new().await;
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let good = hub.issuing(&prepared);
    let signed = |pair: &Pair| Some(signature(pair, "licence", &prepared.content));
    let with = |pair: &Pair| IssueLicenceRequest { signature: signed(pair), request_id: request_id(), ..good.clone() };
    let mut seen = BTreeSet::new();
    let mut only = |found: Reason, expected: Reason| {
        assert_eq!(found, expected);
        assert!(seen.insert(found), "{found:?} is not its own");
    };

    // Wrong department: another department hands it in; and another department's certificate signed it.
    only(failed(hub.caller(CLINICS).issue(good.clone()).await), Reason::IssuerNotAuthorised);
    only(failed(registry.issue(with(&hub.certs.issuer(&HEALTH.uscc()))).await), Reason::IssuerMismatch);
    // Expired certificate.
    let now_s = Clock::system().now_ms() / 1_000;
    let past = Validity { from_s: now_s - 7_200, to_s: now_s - 3_600 };
    let expired = hub.certs.make_issuer(&MARKET.signer(), past).unwrap();
    only(failed(registry.issue(with(&expired)).await), Reason::IssuerCertificateExpired);
    hub.certs.make_issuer(&MARKET.signer(), Validity::days(&Clock::system(), 7)).unwrap();
    // The hub's own key.
    only(failed(registry.issue(with(&hub.certs.server())).await), Reason::HubKeyNotAllowed);
    // Other bytes than were prepared: whoever signs them.
    let mut other = LicenceContent::decode(prepared.content.clone()).unwrap();
    other.number.push('8');
    let content = Bytes::from(other.encode_to_vec());
    let request = IssueLicenceRequest {
        signature: Some(hub.signed(&MARKET, "licence", &content)),
        content,
        request_id: request_id(),
        ..good.clone()
    };
    only(failed(registry.issue(request).await), Reason::LicenceBytesDiffer);

    // An end state left without an order that names its ruling.
    registry.issue(IssueLicenceRequest { request_id: request_id(), ..hub.issuing(&prepared) }).await.unwrap();
    hub.order(&prepared.licence_id, OrderAction::Revoke).await;
    let resume = hub.ordering(&order(&prepared.licence_id, OrderAction::Resume));
    only(failed(registry.change(resume).await), Reason::OrderRequired);
    let restore = hub.ordering(&order(&prepared.licence_id, OrderAction::Restore));
    assert_eq!(failed(registry.change(restore).await), Reason::OrderRequired, "a restore that names no ruling");
    let mut ruled = order(&prepared.licence_id, OrderAction::Restore);
    ruled.ruling_document = "(2026)浙1023行初1号".into();
    registry.change(hub.ordering(&ruled)).await.unwrap();
    hub.end().await;
}

#[tokio::test]
async fn a_signature_must_be_the_issuers_over_these_bytes_from_a_chain_that_stands() {
    let hub = Hub::new().await;
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let good = hub.issuing(&prepared);
    let with = |signature| IssueLicenceRequest { signature: Some(signature), request_id: request_id(), ..good.clone() };
    // The right key, over an order instead of a licence: labels keep signed things apart.
    let labelled = hub.signed(&MARKET, "order", &prepared.content);
    assert_eq!(failed(registry.issue(with(labelled)).await), Reason::SignatureInvalid);
    let mut flipped = good.signature.clone().unwrap();
    flipped.algorithm = "none".into();
    assert_eq!(failed(registry.issue(with(flipped)).await), Reason::SignatureInvalid);
    let foreign = DevCerts::make(&hub.path("foreign"), HUB, &[], &[MARKET.signer()], &Clock::system()).unwrap();
    let signed = signature(&foreign.issuer(&MARKET.uscc()), "licence", &prepared.content);
    assert_eq!(failed(registry.issue(with(signed)).await), Reason::IssuerCertificateUntrusted);
    let unsigned = IssueLicenceRequest { signature: None, ..good.clone() };
    assert_eq!(failed(registry.issue(unsigned).await), Reason::IssuerCertificateUntrusted);
    // Revoked: the list is read again while the hub runs.
    let serial = DevCerts::serial(&hub.certs.issuer(&MARKET.uscc()).certificate).unwrap();
    hub.certs.revoke(Authority::Issuer, &serial).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(failed(registry.issue(with(good.signature.clone().unwrap())).await), Reason::IssuerCertificateRevoked);
    hub.end().await;
}

#[tokio::test]
async fn every_order_leads_to_its_state_and_names_its_document() {
    let hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    use LicenceState as State;
    for (action, expected) in [
        (OrderAction::Suspend, State::Suspended),
        (OrderAction::Rescind, State::Rescinded),
        (OrderAction::Revoke, State::Revoked),
        (OrderAction::Cancel, State::Cancelled),
        (OrderAction::Lapse, State::Lapsed),
        (OrderAction::TransferOut, State::TransferredOut),
    ] {
        let id = hub.issue(draft()).await;
        hub.order(&id, action).await;
        let answer = window.look_up(&licence(&id, &[])).await.unwrap();
        assert_eq!(answer.outcome(), Outcome::Found, "ended is found, not absent");
        let standing = answer.record().licence.clone().unwrap();
        assert_eq!((standing.state(), standing.since), (expected, Some(date(2026, 3, 2))));
        assert_eq!(standing.document_number, "演市监〔2026〕1号");
        if action == OrderAction::Suspend {
            hub.order(&id, OrderAction::Resume).await;
            let answer = window.look_up(&licence(&id, &[])).await.unwrap();
            assert_eq!(answer.record().licence.clone().unwrap().state(), State::Valid);
        }
    }
    hub.end().await;
}

#[tokio::test]
async fn a_renewal_is_a_new_version_under_the_same_serial_and_closes_the_old_one() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let (registry, window) = (hub.caller(REGISTRY), hub.caller(WINDOW));
    let old = hub.issue(draft()).await;
    let mut renewed = draft();
    renewed.previous_licence_id = old.clone();
    renewed.valid_until = Some(date(2099, 1, 4));
    let prepared = registry.prepare(renewed).await.unwrap();
    let mut renew = order(&old, OrderAction::Renew);
    renew.new_content_sha256 = Bytes::copy_from_slice(&Sha256::digest(&prepared.content));
    let mut request = hub.ordering(&renew);
    request.new_content = prepared.content.clone();
    request.new_ticket = prepared.ticket.clone();
    request.new_signature = Some(hub.signed(&MARKET, "licence", &prepared.content));
    registry.change(request).await.unwrap();

    let answer = window.look_up(&licence(&prepared.licence_id, &["valid_until"])).await.unwrap();
    assert_eq!(answer.field("valid_until"), Some("2099-01-04"));
    assert_eq!(answer.record().licence.clone().unwrap().state(), LicenceState::Valid);
    let answer = window.look_up(&licence(&old, &["valid_until"])).await.unwrap();
    assert_eq!(answer.field("valid_until"), Some("2098-01-04"), "the old version is still what it was");
    let standing = answer.record().licence.clone().unwrap();
    assert_eq!(standing.state(), LicenceState::Lapsed);
    assert_eq!(standing.successor_licence_id, prepared.licence_id);
    // An order on the closed version does nothing.
    let late = hub.ordering(&order(&old, OrderAction::Revoke));
    assert_eq!(failed(registry.change(late).await), Reason::TransitionNotAllowed);
    hub.end().await;
}

#[tokio::test]
async fn a_preparation_names_everything_that_does_not_fit_and_a_change_needs_a_request_id() {
    let hub = Hub::new().await;
    let registry = hub.caller(REGISTRY);
    let mut unknown = draft();
    unknown.type_code = format!("{}999", MARKET.uscc());
    assert_eq!(failed(registry.prepare(unknown).await), Reason::LicenceTypeUnknown);
    let mut face = draft();
    face.face_fields = vec![field("floor_area", "large"), field("colour", "red")];
    let status = registry.prepare(face).await.unwrap_err();
    assert_eq!(reason(&status), Reason::LicenceFieldsInvalid);
    let named = ["premises", "floor_area", "colour"].map(|name| format!("face_fields.{name}"));
    assert_eq!(blamed(&status), named.into());
    let mut dates = draft();
    (dates.issued_on, dates.valid_until) = (None, Some(date(2026, 2, 30)));
    dates.holders[0].code.as_mut().unwrap().code = "331099199003070014".into();
    let status = registry.prepare(dates).await.unwrap_err();
    assert_eq!(reason(&status), Reason::RequestMalformed);
    assert_eq!(blamed(&status), ["issued_on", "valid_until", "holders[0].code"].map(str::to_owned).into());
    let clinics = hub.caller(CLINICS);
    assert_eq!(failed(clinics.prepare(draft()).await), Reason::IssuerNotAuthorised);

    let prepared = registry.prepare(draft()).await.unwrap();
    let nameless = IssueLicenceRequest { request_id: String::new(), ..hub.issuing(&prepared) };
    assert_eq!(failed(registry.issue(nameless).await), Reason::RequestIdMissing);
    let missing = order(&prepared.licence_id, OrderAction::Revoke);
    assert_eq!(failed(registry.change(hub.ordering(&missing)).await), Reason::TargetUnknown, "prepared is not issued");
    hub.end().await;
}
