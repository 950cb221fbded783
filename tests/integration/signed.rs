//! A system may sign its question: then who asked is proved to third parties, and the hub checks it before it repeats it.
use crate::client::{failed, licence};
use crate::harness::Hub;
use crate::world::{DESK, WINDOW, draft, signature};
use prost::Message;
use wuku::failure::Reason;
use wuku::wire::proto::exchange::v1::LookUpRequest;
use wuku::wire::proto::receipt::v1::CallerSignature;

#[tokio::test]
async fn a_signed_question_is_proved_and_anothers_signature_is_refused() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let question = licence(&id, &["holder_name"]).encode_to_vec();
    let signed_by = |name: (&str, &str), bytes: &[u8]| {
        let made = signature(&hub.certs.system(name.0, name.1), "question", bytes);
        Some(CallerSignature { algorithm: made.algorithm, chain: made.chain, value: made.value })
    };
    let window = hub.caller(WINDOW);
    let ask = |caller_signature| {
        let request = LookUpRequest { question: question.clone().into(), caller_signature, ..LookUpRequest::default() };
        let mut client = window.exchange();
        async move { client.look_up(request).await }
    };
    let own = signed_by(WINDOW, &question);
    let answer = window.got(ask(own.clone()).await.unwrap().into_inner());
    assert_eq!(answer.statement.caller_signature, own, "the statement repeats it");
    assert_eq!(failed(ask(signed_by(DESK, &question)).await), Reason::SignatureInvalid, "another system's");
    assert_eq!(failed(ask(signed_by(WINDOW, b"other bytes")).await), Reason::SignatureInvalid, "over other bytes");
    hub.end().await;
}
